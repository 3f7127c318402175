"""The encode job: a folder with texts and pictures in, a folder with feature files out.

Only contents whose vectors are not in the cache are encoded.

Letters: B contents of a batch, F width of a vector, I items.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from model.artifact.files import PICTURE_FOLDER
from training.cli.bars import progress_shown
from training.cluster.engine import LOCAL, Engine
from training.data.folder import FEATURE_SUFFIX
from training.data.items import ItemTable, read_items
from training.data.tables import DataError
from training.encode.contents import Content, UnreadableContentError, passages, pictures
from training.encode.encoders import (
    Encoder,
    EncoderError,
    NamedEncoder,
    image_encoder,
    text_encoder,
)
from training.encode.folder import (
    CACHE_FILE,
    VectorCache,
    carry_over,
    check_ours,
    check_target,
    open_cache,
    principal_components,
    write_features,
)
from training.fit.distributed import choose_device

log = logging.getLogger(__name__)
T = TypeVar("T")
_NAMED_UNREADABLE = 10
"""Unreadable contents that a warning names; the others are counted."""


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
    """Principal components to write; None to write the vectors as they are."""
    all_there_is: bool = False
    """Whether texts or pictures are left out if there are none, as they were not asked for."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One modality to encode."""

    what: str
    contents: Sequence[Content[Any] | None]
    encoder_name: str
    encoder: Callable[[str, str], Encoder[Any]]
    """Loads the encoder, given its name and device."""
    path: Path


def encode_folder(job: EncodeJob, engine: Engine = LOCAL) -> None:
    """Write `text_feat.npy` and `visual_feat.npy`, row r for the r-th item of the item table.

    A run that was killed continues where it stopped when it is started again.

    Args:
        job: what to encode.
        engine: who encodes; the vectors are kept here.

    Raises:
        DataError: there is no item table or nothing to encode, or `out` cannot be written.
        EncoderError: an encoder cannot be loaded or used.
    """
    tasks = _tasks(job)
    check_target(job.data, job.out)
    with open_cache(job.out / CACHE_FILE) as cache:
        for task in tasks:
            check_ours(task.path, cache)
        for task in tasks:
            log.info(f"{task.what}: {task.encoder_name} on {choose_device(job.device)}")
            encoder = NamedEncoder(task.encoder, task.encoder_name, job.device)
            encoded = encode_contents(
                task.contents, encoder, cache, job.batch_size, engine, job.device
            )
            _write(task.path, encoded, job, cache)
    carry_over(job.data, job.out)


def _tasks(job: EncodeJob) -> list[_Task]:
    """What to encode; DataError if there is nothing, or none of what was asked for."""
    if not job.data.is_dir():
        raise DataError(job.data, "is not a folder", "give the one with items.tsv (--data DIR)")
    table = read_items(job.data)
    if table is None:
        raise DataError(
            job.data, "has no items.tsv", "add one with a line per item: id, title, description"
        )
    tasks = []
    for make in (_text_task, _picture_task):
        try:
            tasks.append(make(job, table))
        except DataError as error:
            if not job.all_there_is:
                raise
            log.info(f"left out: {error}")
    found = [task for task in tasks if task is not None]
    if not found:
        raise DataError(
            table.path,
            "has neither words about items nor pictures of them",
            f"add a column title or description, or files {PICTURE_FOLDER}/<item id>.jpg",
        )
    return found


def _text_task(job: EncodeJob, table: ItemTable) -> _Task | None:
    if job.text is None:
        return None
    texts = passages(table.metadata)
    if not any(texts):
        raise DataError(
            table.path,
            "has no words about any item",
            "add a column title, categories or description, or give --images alone",
        )
    return _Task("texts", texts, job.text, text_encoder, job.out / f"text{FEATURE_SUFFIX}")


def _picture_task(job: EncodeJob, table: ItemTable) -> _Task | None:
    if job.images is None:
        return None
    images = pictures(job.data, table.ids, table.metadata)
    if not any(images):
        raise DataError(
            job.data,
            "has no picture of any item",
            f"add files {PICTURE_FOLDER}/<item id>.jpg, or give --text alone",
        )
    return _Task("pictures", images, job.images, image_encoder, job.out / f"visual{FEATURE_SUFFIX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedItems:
    """The cache keys of the items' vectors."""

    key_I: list[bytes | None]
    """Keys in the cache; None for an item without readable content."""
    num_new: int
    """Vectors that the cache did not have before."""
    unreadable: list[str]
    """Contents that could not be opened, and why."""


def encode_contents(
    contents: Sequence[Content[T] | None],
    encoder: Encoder[T],
    cache: VectorCache,
    batch_size: int,
    engine: Engine = LOCAL,
    device: str = "cpu",
) -> EncodedItems:
    """Encode the contents of all items [I], equal ones once.

    Args:
        contents: of the items; None for one without.
        encoder: of all of them.
        cache: gets every batch's vectors as soon as they are there.
        batch_size: contents encoded at once.
        engine: who encodes a batch.
        device: where the encoder computes.

    Raises:
        EncoderError: the encoder gives something other than finite numbers, or lacks memory.
    """
    unreadable: list[str] = []
    key_I = [_key(content, encoder.fingerprint, unreadable) for content in contents]
    waiting = {
        key: content
        for key, content in zip(key_I, contents, strict=True)
        if key is not None and content is not None and key not in cache
    }
    # Largest first: a batch holds contents of similar size, and a lack of memory shows early.
    order = sorted(waiting, key=lambda key: waiting[key].size, reverse=True)
    batches = [
        {key: waiting[key] for key in order[start : start + batch_size]}
        for start in range(0, len(order), batch_size)
    ]
    done = 0
    with progress_shown("encoding", len(order), "encoded") as show:
        for batch, encoded in engine.each(partial(_encoded, encoder), batches, lambda _: device):
            unreadable += encoded.unreadable
            if encoded.keys:
                cache.add(encoded.keys, encoded.vector_BF)
            done += len(batch)
            show(done, "")
    lost = {key for key in order if key not in cache}
    return EncodedItems(
        key_I=[None if key in lost else key for key in key_I],
        num_new=len(order) - len(lost),
        unreadable=unreadable,
    )


def _key(content: Content[T] | None, fingerprint: str, unreadable: list[str]) -> bytes | None:
    try:
        return None if content is None else VectorCache.key(fingerprint, content.digest)
    except UnreadableContentError as error:
        unreadable.append(str(error))
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Encoded:
    """The vectors of those contents of a batch that can be opened."""

    keys: list[bytes]
    vector_BF: NDArray[np.float32]
    unreadable: list[str]


def _encoded(encoder: Encoder[T], batch: Mapping[bytes, Content[T]]) -> _Encoded:
    opened: dict[bytes, T] = {}
    unreadable: list[str] = []
    for key, content in batch.items():
        try:
            opened[key] = content.open()
        except UnreadableContentError as error:
            unreadable.append(str(error))
    vector_BF = _vectors(encoder, list(opened.values())) if opened else np.empty((0, 0), np.float32)
    return _Encoded(keys=list(opened), vector_BF=vector_BF, unreadable=unreadable)


def _vectors(encoder: Encoder[T], contents: Sequence[T]) -> NDArray[np.float32]:
    try:
        vector_BF = encoder.encode(contents)
    except torch.OutOfMemoryError as error:
        raise EncoderError(
            f"the device has too little memory for {len(contents)} contents at once: "
            "lower --batch-size"
        ) from error
    if not np.isfinite(vector_BF).all():
        raise EncoderError("the encoder gives NaN or infinity: use another one")
    return vector_BF


def _write(path: Path, encoded: EncodedItems, job: EncodeJob, cache: VectorCache) -> None:
    if encoded.unreadable:
        named = "".join(f"\n  {text}" for text in encoded.unreadable[:_NAMED_UNREADABLE])
        rest = len(encoded.unreadable) - _NAMED_UNREADABLE
        more = f"\n  and {rest:,} more" if rest > 0 else ""
        log.warning(
            f"{len(encoded.unreadable):,} cannot be read and count as missing:{named}{more}"
        )
    keys = [key for key in dict.fromkeys(encoded.key_I) if key is not None]
    if not keys:
        raise DataError(job.data, "holds no content that can be read", "repair the files above")
    if job.num_components is None:
        shape = write_features(path, encoded.key_I, cache)
    else:
        project = principal_components([cache[key] for key in keys], job.num_components)
        shape = write_features(path, encoded.key_I, cache, project)
    missing = encoded.key_I.count(None)
    log.info(
        f"wrote {path} {shape}: {len(encoded.key_I) - missing:,} items have content "
        f"({encoded.num_new:,} newly encoded), {missing:,} have none and are marked as missing"
    )
