"""Vectors that were computed before, in one SQLite file: a batch is in it whole or not at all.

Knows keys and values, and the feature files made from them; knows nothing about encoders.

Letters: B vectors of a batch, F width of a vector.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.tables import DataError

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
