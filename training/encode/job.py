"""The encode job: a folder with texts and pictures in, a folder with feature files out.

Composes item table, contents, encoders, cache and folder; knows nothing about the command line.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from model.contract.pictures import PICTURE_FOLDER
from training.content_files import FEATURE_SUFFIX
from training.encode.batches import EncodedItems, encode_contents
from training.encode.content import Content
from training.encode.encoder import Encoder
from training.encode.folder import (
    CACHE_FILE,
    carry_over,
    check_ours,
    check_target,
    write_features,
)
from training.encode.named import image_encoder, text_encoder
from training.encode.passages import Passage, passages
from training.encode.pictures import Picture, pictures
from training.encode.projection import principal_components
from training.encode.vectors import VectorCache, open_cache
from training.items import read_items
from training.tables import DataError

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
            _encode(texts, text_encoder(job.text, job.device), job, _TEXT_FILE, cache)
        if job.images is not None:
            log.info(f"pictures: {job.images} on {job.device}")
            _encode(images, image_encoder(job.images, job.device), job, _VISUAL_FILE, cache)
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


def _encode(
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
