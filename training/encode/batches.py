"""Contents -> keys of their vectors: only what the cache lacks is encoded, batch by batch.

Knows contents, an encoder and a cache; knows nothing about feature files.

Letters: B contents of a batch, F width of a vector, I items.
"""

# FOLDED training/encode/batches.py: Vectors that were computed before, in one SQLite file: a batch is in it whole or not at all.
#
#   Knows keys and values, and the feature files made from them; knows nothing about encoders.
#
#   Letters: B vectors of a batch, F width of a vector.
#

import hashlib
import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from training.cli.progress import drawn_bar
from training.data.tables import DataError
from training.encode.contents import Content, UnreadableContentError
from training.encode.encoders import Encoder, EncoderError

_SCHEMA = """
PRAGMA page_size = 16384;
CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS written (sha256 BLOB PRIMARY KEY);
"""
"""Pages several times as large as a vector: little of the file is empty."""
_LOCK_TIMEOUT_S = 60.0


class VectorCache:
    """Vectors by content and encoder."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @staticmethod
    def key(fingerprint: str, digest: bytes) -> bytes:
        """The name of the vector that one encoder gives one content."""
        return hashlib.sha256(fingerprint.encode() + digest).digest()

    def __contains__(self, key: bytes) -> bool:
        return self._first("SELECT 1 FROM vectors WHERE key = ?", key) is not None

    def __getitem__(self, key: bytes) -> NDArray[np.float32]:
        """The vector [F] under a key; KeyError if there is none."""
        value = self._first("SELECT value FROM vectors WHERE key = ?", key)
        if value is None:
            raise KeyError(key)
        return np.frombuffer(value, dtype="<f4")

    def add(self, keys: Sequence[bytes], vector_BF: NDArray[np.float32]) -> None:
        """Keep one batch, at once."""
        rows = zip(keys, (vector_F.astype("<f4").tobytes() for vector_F in vector_BF), strict=True)
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def wrote(self, sha256: bytes) -> bool:
        """Whether a file of this content was made from these vectors."""
        return self._first("SELECT 1 FROM written WHERE sha256 = ?", sha256) is not None

    def note_written(self, sha256: bytes) -> None:
        """Remember that a file of this content is ours."""
        with self._connection:
            self._connection.execute("INSERT OR IGNORE INTO written VALUES (?)", (sha256,))

    def _first(self, query: str, key: bytes) -> bytes | None:
        row = self._connection.execute(query, (key,)).fetchone()
        return None if row is None else row[0]


@contextmanager
def open_cache(path: Path) -> Iterator[VectorCache]:
    """Open or make a cache; DataError if it cannot be read or written."""
    try:
        with closing(sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S)) as connection:
            connection.executescript(_SCHEMA)
            yield VectorCache(connection)
    except sqlite3.Error as error:
        raise DataError(
            path,
            f"cannot be used to keep vectors ({error})",
            "delete it if it is damaged, or name another folder with --out",
        ) from error


log = logging.getLogger(__name__)


T = TypeVar("T")
_REPORT_EVERY_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedItems:
    """Where the vector of each item lies."""

    key_I: list[bytes | None]
    """Keys in the cache; None for an item without a content that can be read."""
    num_new: int
    """Vectors that the cache did not have before."""
    unreadable: list[str]
    """Contents that could not be opened, and why."""


def encode_contents(
    contents: Sequence[Content[T] | None],
    encoder: Encoder[T],
    cache: VectorCache,
    batch_size: int,
) -> EncodedItems:
    """Encode the contents of all items [I], equal ones once.

    Raises:
        EncoderError: the encoder gives something else than finite numbers, or lacks memory.
    """
    unreadable: list[str] = []
    key_I = [_key(content, encoder.fingerprint, unreadable) for content in contents]
    waiting = {
        key: content
        for key, content in zip(key_I, contents, strict=True)
        if key is not None and content is not None and key not in cache
    }
    # Largest first: batches are of like size, and too little memory is known at once.
    order = sorted(waiting, key=lambda key: waiting[key].size, reverse=True)
    with drawn_bar("encoding", len(order)) as draw:
        show = draw or _Lines(len(order))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            opened = _opened({key: waiting[key] for key in batch}, unreadable)
            if opened:
                cache.add(list(opened), _vectors(encoder, list(opened.values())))
            show(start + len(batch), "")
    lost = {key for key in order if key not in cache}
    return EncodedItems(
        key_I=[None if key in lost else key for key in key_I],
        num_new=len(order) - len(lost),
        unreadable=unreadable,
    )


class _Lines:
    """A line every few seconds that tells how far it is."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._started = self._told = time.monotonic()

    def __call__(self, done: int, _note: str) -> None:
        now = time.monotonic()
        if now - self._told > _REPORT_EVERY_S:
            self._told = now
            left_s = (now - self._started) / done * (self._total - done)
            log.info(f"{done:,} of {self._total:,} encoded, about {left_s:,.0f} s left")


def _key(content: Content[T] | None, fingerprint: str, unreadable: list[str]) -> bytes | None:
    if content is None:
        return None
    try:
        return VectorCache.key(fingerprint, content.digest)
    except UnreadableContentError as error:
        unreadable.append(str(error))
        return None


def _opened(contents: Mapping[bytes, Content[T]], unreadable: list[str]) -> dict[bytes, T]:
    """The contents that can be opened; the others are added to `unreadable`."""
    opened: dict[bytes, T] = {}
    for key, content in contents.items():
        try:
            opened[key] = content.open()
        except UnreadableContentError as error:
            unreadable.append(str(error))
    return opened


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
