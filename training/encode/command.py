"""The command `encode`: texts and pictures become content features.

Knows options and their defaults; the encoders' libraries are loaded only when the command runs.
"""

# FOLDED training/encode/command.py: The encode job: a folder with texts and pictures in, a folder with feature files out.
#
#   Composes item table, contents, encoders, cache and folder; knows nothing about the command line.
#

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from model.artifact.files import PICTURE_FOLDER
from training.cli.app import positive_number
from training.data.features import FEATURE_SUFFIX
from training.data.items import read_items
from training.data.tables import DataError
from training.encode.batches import EncodedItems, VectorCache, encode_contents, open_cache
from training.encode.contents import Content, Passage, Picture, passages, pictures
from training.encode.encoders import (
    DEFAULT_IMAGES,
    DEFAULT_TEXT,
    Encoder,
    image_encoder,
    load,
    text_encoder,
)
from training.encode.folder import (
    CACHE_FILE,
    carry_over,
    check_ours,
    check_target,
    principal_components,
    write_features,
)
from training.fit.distributed import choose_device

log = logging.getLogger(__name__)


T = TypeVar("T")
_TEXT_FILE, _VISUAL_FILE = f"text{FEATURE_SUFFIX}", f"visual{FEATURE_SUFFIX}"
_NAMED_UNREADABLE = 10
"""Most unreadable contents that a warning names; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeJob:
    """What to encode, and how."""

    data: Path
    out: Path
    """May be `data` itself."""
    text: str | None
    """Name of the text encoder; None to leave texts alone."""
    images: str | None
    """Name of the image encoder; None to leave pictures alone."""
    batch_size: int
    device: str
    num_components: int | None = None
    """How many principal components features are; None for vectors as they are encoded."""


def encode_folder(job: EncodeJob) -> None:
    """Write `text_feat.npy` and `visual_feat.npy`, row r for the r-th item of the item table.

    A run that was killed goes on where it was when it is started again.

    Raises:
        DataError: there is no item table or nothing to encode, or `out` cannot be written.
        EncoderError: an encoder cannot be had or used.
    """
    texts, images = _contents(job)
    check_target(job.data, job.out)
    with open_cache(job.out / CACHE_FILE) as cache:
        if job.text is not None:
            check_ours(job.out / _TEXT_FILE, cache)
        if job.images is not None:
            check_ours(job.out / _VISUAL_FILE, cache)
        if job.text is not None:
            log.info(f"texts: {job.text} on {job.device}")
            _encode_job(texts, text_encoder(job.text, job.device), job, _TEXT_FILE, cache)
        if job.images is not None:
            log.info(f"pictures: {job.images} on {job.device}")
            _encode_job(images, image_encoder(job.images, job.device), job, _VISUAL_FILE, cache)
    carry_over(job.data, job.out)


def _contents(job: EncodeJob) -> tuple[list[Passage | None], list[Picture | None]]:
    """Texts and pictures of all items [I], of which there are some if they are to be encoded."""
    if not job.data.is_dir():
        raise DataError(job.data, "is not a folder", "give the one with items.tsv (--data DIR)")
    table = read_items(job.data)
    if table is None:
        raise DataError(
            job.data, "has no items.tsv", "add one with a line per item: id, title, description"
        )
    texts = passages(table.metadata)
    if job.text is not None and not any(texts):
        raise DataError(
            table.path,
            "has no words about any item",
            "add a column title, categories or description, or give --images alone",
        )
    images = pictures(job.data, table.ids, table.metadata)
    if job.images is not None and not any(images):
        raise DataError(
            job.data,
            "has no picture of any item",
            f"add files {PICTURE_FOLDER}/<item id>.jpg, or give --text alone",
        )
    return texts, images


def _encode_job(
    contents: Sequence[Content[T] | None],
    encoder: Encoder[T],
    job: EncodeJob,
    file_name: str,
    cache: VectorCache,
) -> None:
    encoded = encode_contents(contents, encoder, cache, job.batch_size)
    if encoded.unreadable:
        _warn(encoded.unreadable)
    if not any(encoded.key_I):
        raise DataError(job.data, "holds no content that can be read", "repair the files above")
    path = job.out / file_name
    if job.num_components is None:
        shape = write_features(path, encoded.key_I, cache)
    else:
        known = [cache[key] for key in dict.fromkeys(encoded.key_I) if key is not None]
        project = principal_components(known, job.num_components)
        shape = write_features(path, encoded.key_I, cache, project)
    log.info(f"wrote {path} {shape}: {_summary(encoded)}")


def _summary(encoded: EncodedItems) -> str:
    missing = encoded.key_I.count(None)
    return (
        f"{len(encoded.key_I) - missing:,} items have content ({encoded.num_new:,} newly encoded), "
        f"{missing:,} have none and are marked as missing"
    )


def _warn(unreadable: Sequence[str]) -> None:
    named = "".join(f"\n  {text}" for text in unreadable[:_NAMED_UNREADABLE])
    rest = len(unreadable) - _NAMED_UNREADABLE
    more = f"\n  and {rest:,} more" if rest > 0 else ""
    log.warning(f"{len(unreadable):,} cannot be read and count as missing:{named}{more}")


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
    job = load("training.encode.command")
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
