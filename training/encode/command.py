"""The command `encode`: its options. The encoders' libraries are loaded only when it runs."""

import argparse
from pathlib import Path

from training.cli.app import positive_number
from training.encode.encoders import DEFAULT_IMAGES, DEFAULT_TEXT, load
from training.fit.distributed import choose_device

_DEFAULT_BATCH_SIZE = 32


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = (
        "Turn the texts of the item table and the pictures in DIR/images into "
        "text_feat.npy and visual_feat.npy with pretrained encoders. Without --text and --images, "
        "both are encoded. A further run encodes only what has changed."
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with items.tsv and, for pictures, images/<item id>.jpg (or .png, ...)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="make this a data folder with the features and a copy of all else that training reads "
        "(default: write into --data)",
    )
    parser.add_argument(
        "--text",
        nargs="?",
        const=DEFAULT_TEXT,
        metavar="ENCODER",
        help="encode texts: with the named sentence-transformers model, the folder of one, or an "
        f".onnx file (default: {DEFAULT_TEXT})",
    )
    parser.add_argument(
        "--images",
        nargs="?",
        const=DEFAULT_IMAGES,
        metavar="ENCODER",
        help="encode pictures: with the named timm model, the folder of one, or an .onnx file "
        f"(default: {DEFAULT_IMAGES})",
    )
    parser.add_argument(
        "--pca",
        type=positive_number,
        metavar="N",
        help="write the first N principal components of what was encoded: smaller files and faster "
        "training (default: all columns)",
    )
    parser.add_argument(
        "--batch-size",
        type=positive_number,
        default=_DEFAULT_BATCH_SIZE,
        metavar="N",
        help="contents encoded at once (default: %(default)s)",
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)"
    )
    parser.set_defaults(run=_encode)


def _encode(options: argparse.Namespace) -> None:
    neither = options.text is None and options.images is None
    job = load("training.encode.job")
    job.encode_folder(
        job.EncodeJob(
            data=options.data,
            out=options.out or options.data,
            text=DEFAULT_TEXT if neither else options.text,
            images=DEFAULT_IMAGES if neither else options.images,
            num_components=options.pca,
            batch_size=options.batch_size,
            device=str(choose_device(options.device)),
        )
    )
