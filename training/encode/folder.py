"""The files that encoding writes: a cache of vectors, and feature files made from it.

Each file is replaced whole or not at all.

Letters: B vectors of a batch, I items, N vectors, F width of a vector, P principal components.
"""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from training.data.files import write_durably
from training.data.folder import FEATURE_SUFFIX
from training.data.tables import DataError, writing
from training.encode.encoders import EncoderError

CACHE_FILE = ".encoded.sqlite"
_TABLES = ("*.inter", "items.tsv", "*.item", "*.kg", "*.link")
_SCHEMA = """
PRAGMA page_size = 16384;
CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS written (sha256 BLOB PRIMARY KEY);
"""
"""A page is several times as large as a vector, so that little of the file stays empty."""
_LOCK_TIMEOUT_S = 60.0
_FITTED_ON = 50_000
"""Most vectors that principal components are fitted to, drawn at random."""

Vectors = NDArray[np.float32]
Project = Callable[[Vectors], Vectors]


class VectorCache:
    """Vectors by content and encoder, and checksums of the feature files made from them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @staticmethod
    def key(fingerprint: str, digest: bytes) -> bytes:
        """The key of the vector that one encoder gives one content."""
        return hashlib.sha256(fingerprint.encode() + digest).digest()

    def __contains__(self, key: bytes) -> bool:
        return self._first("SELECT 1 FROM vectors WHERE key = ?", key) is not None

    def __getitem__(self, key: bytes) -> Vectors:
        """The vector [F] under a key; KeyError if there is none."""
        value = self._first("SELECT value FROM vectors WHERE key = ?", key)
        if value is None:
            raise KeyError(key)
        return np.frombuffer(value, dtype="<f4")

    def add(self, keys: Sequence[bytes], vector_BF: Vectors) -> None:
        """Store one batch, in one transaction."""
        rows = zip(keys, (vector_F.astype("<f4").tobytes() for vector_F in vector_BF), strict=True)
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def wrote(self, sha256: bytes) -> bool:
        """Whether a file with this content was made from these vectors."""
        return self._first("SELECT 1 FROM written WHERE sha256 = ?", sha256) is not None

    def note_written(self, sha256: bytes) -> None:
        """Remember that a file with this content is ours."""
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


def check_target(data: Path, out: Path) -> None:
    """Make the folder `out`; DataError if it holds tables that are not those of `data`."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    stray = sorted({path.name for path in _tables(out)} - {path.name for path in _tables(data)})
    if stray:
        raise DataError(
            out,
            f"holds {stray[0]}, which {data} does not",
            "name an empty folder, or one of an earlier run with the same data, with --out",
        )


def check_ours(path: Path, cache: VectorCache) -> None:
    """DataError for a feature file that was not made from this cache: it is not overwritten."""
    if path.exists() and not cache.wrote(_sha256(path)):
        raise DataError(
            path,
            "was not written by this command",
            "move it away if it may be replaced, or name another folder with --out",
        )


def carry_over(data: Path, out: Path) -> None:
    """Copy what training reads from `data` to `out`; feature files that `out` has are kept."""
    if out.samefile(data):
        return
    features = [path for path in data.glob(f"*{FEATURE_SUFFIX}") if not (out / path.name).exists()]
    for path in [*_tables(data), *features]:
        with writing(out / path.name):
            write_durably(out / path.name, partial(_copy, path))


def write_features(
    path: Path,
    key_I: Sequence[bytes | None],
    cache: VectorCache,
    project: Project = lambda vector_F: vector_F,
) -> list[int]:
    """Write float32 [I, F] row by row and return its shape; an item without a key gets NaN.

    Args:
        path: the file.
        key_I: of the items' vectors.
        cache: holds the vectors.
        project: applied to every vector.
    """
    width = len(project(cache[next(key for key in key_I if key is not None)]))

    def write(to: Path) -> None:
        x_IF = np.lib.format.open_memmap(to, mode="w+", dtype=np.float32, shape=(len(key_I), width))
        for item, key in enumerate(key_I):
            x_IF[item] = np.nan if key is None else project(cache[key])
        x_IF.flush()
        cache.note_written(_sha256(to))

    with writing(path):
        write_durably(path, write)
    return [len(key_I), width]


def principal_components(vectors: Sequence[Vectors], num_components: int) -> Project:
    """A function from a vector [F] to its principal components [P], the largest first.

    Args:
        vectors: of all contents, each once, N of width F.
        num_components: P.

    Raises:
        EncoderError: P is larger than N or F.
    """
    most = min(len(vectors), len(vectors[0]))
    if num_components > most:
        raise EncoderError(
            f"{num_components} principal components cannot be had of {len(vectors):,} contents in "
            f"{len(vectors[0]):,} columns: --pca {most} at most"
        )
    chosen = range(len(vectors))
    if len(vectors) > _FITTED_ON:
        chosen = np.random.default_rng(0).choice(len(vectors), _FITTED_ON, replace=False).tolist()
    fitted = PCA(num_components, svd_solver="covariance_eigh")
    fitted.fit(np.stack([vectors[place] for place in chosen]))
    mean_F, component_PF = fitted.mean_, fitted.components_

    def project(vector_F: Vectors) -> Vectors:
        return np.asarray(component_PF @ (vector_F - mean_F), dtype=np.float32)

    return project


def _copy(path: Path, to: Path) -> None:
    """With its time: what is said of an item later than that counts more."""
    shutil.copyfile(path, to)
    times = path.stat()
    os.utime(to, ns=(times.st_atime_ns, times.st_mtime_ns))


def _tables(folder: Path) -> list[Path]:
    return [path for pattern in _TABLES for path in sorted(folder.glob(pattern))]


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
