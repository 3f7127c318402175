"""The command `encode`. The encoders' libraries are loaded only when it runs."""

from pathlib import Path
from typing import Any

import click

from training.cli.options import FOLDER, ray_option
from training.cluster.engine import engine_at
from training.encode.encoders import DEFAULT_IMAGES, DEFAULT_TEXT, load


@click.command
@click.option(
    "--data",
    type=FOLDER,
    required=True,
    help="folder with items.tsv and, for pictures, images/<item id>.jpg (or .png, ...)",
)
@click.option(
    "--out",
    type=FOLDER,
    help="make this a data folder with the features and a copy of all else that training reads  "
    "[default: write into --data]",
)
@click.option(
    "--text",
    is_flag=False,
    flag_value=DEFAULT_TEXT,
    metavar="[ENCODER]",
    help="encode texts: with the named sentence-transformers model, the folder of one, or an .onnx "
    f"file  [default: {DEFAULT_TEXT}]",
)
@click.option(
    "--images",
    is_flag=False,
    flag_value=DEFAULT_IMAGES,
    metavar="[ENCODER]",
    help="encode pictures: with the named timm model, the folder of one, or an .onnx file  "
    f"[default: {DEFAULT_IMAGES}]",
)
@click.option(
    "--pca",
    "num_components",
    type=click.IntRange(min=1),
    metavar="N",
    help="write the first N principal components of what was encoded: smaller files and faster "
    "training  [default: all columns]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    metavar="N",
    help="contents encoded at once",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N")
@ray_option
def encode(
    data: Path,
    out: Path | None,
    text: str | None,
    images: str | None,
    address: str | None,
    **how: Any,
) -> None:
    """Turn the texts of the item table and the pictures in DIR/images into features.

    Pretrained encoders write text_feat.npy and visual_feat.npy. Without --text and --images, what
    there is of both is encoded. A further run encodes only what has changed.
    """
    all_there_is = text is None and images is None
    if all_there_is:
        text, images = DEFAULT_TEXT, DEFAULT_IMAGES
    encoding = load("training.encode.job")
    job = encoding.EncodeJob(
        data=data if address is None else data.resolve(),
        out=out or data,
        text=text,
        images=images,
        all_there_is=all_there_is,
        **how,
    )
    with engine_at(address) as engine:
        encoding.encode_folder(job, engine)
