"""The data folder that features are written to; every file in it is replaced whole or not at all.

Knows which files make a data folder; knows nothing about encoders.

Letters: I items, F width of a vector.
"""

# FOLDED training/encode/folder.py: Fewer columns for features: the principal components of what was encoded.
#
#   Knows vectors; knows nothing about contents, caches or files.
#
#   Letters: N vectors, F width of a vector, P principal components.
#

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from training.data.features import FEATURE_SUFFIX
from training.data.tables import DataError
from training.encode.batches import VectorCache
from training.encode.encoders import EncoderError

_FITTED_ON = 50_000
"""Most vectors that components are fitted to, drawn at random."""


Vectors = NDArray[np.float32]
Project = Callable[[Vectors], Vectors]


def principal_components(vectors: Sequence[Vectors], num_components: int) -> Project:
    """What takes a vector [F] to its components [P], the one that tells most first.

    Args:
        vectors: of all contents, each once.
        num_components: P.

    Raises:
        EncoderError: there are fewer vectors, or they are narrower.
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


CACHE_FILE = ".encoded.sqlite"
_TABLES = ("*.inter", "items.tsv", "*.item", "*.kg", "*.link")


def check_target(data: Path, out: Path) -> None:
    """Make the folder `out`; DataError if it holds tables that are not those of `data`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            out, f"cannot be made ({error.strerror})", "name another folder with --out"
        ) from error
    stray = sorted({path.name for path in _tables(out)} - {path.name for path in _tables(data)})
    if stray:
        raise DataError(
            out,
            f"holds {stray[0]}, which {data} does not",
            "name an empty folder, or one of an earlier run with the same data, with --out",
        )


def carry_over(data: Path, out: Path) -> None:
    """Copy what training reads from `data` to `out`; feature files that `out` has are kept."""
    if out.samefile(data):
        return
    features = [path for path in data.glob(f"*{FEATURE_SUFFIX}") if not (out / path.name).exists()]
    for path in [*_tables(data), *features]:
        with _replaced(out / path.name) as partial:
            shutil.copyfile(path, partial)


def check_ours(path: Path, cache: VectorCache) -> None:
    """Overwrite nobody's work: DataError for a feature file that this cache did not make."""
    if path.exists() and not cache.wrote(_sha256(path)):
        raise DataError(
            path,
            "was not written by this command",
            "move it away if it may be replaced, or name another folder with --out",
        )


def write_features(
    path: Path,
    key_I: Sequence[bytes | None],
    cache: VectorCache,
    project: Project = lambda vector_F: vector_F,
) -> list[int]:
    """Write float32 [I, F] row by row, NaN throughout for a None; the shape that was written.

    Args:
        path: the file.
        key_I: of the items' vectors.
        cache: that has them.
        project: what a vector becomes.
    """
    width = len(project(cache[next(key for key in key_I if key is not None)]))
    with _replaced(path) as partial:
        x_IF = np.lib.format.open_memmap(
            partial, mode="w+", dtype=np.float32, shape=(len(key_I), width)
        )
        for item, key in enumerate(key_I):
            x_IF[item] = np.nan if key is None else project(cache[key])
        x_IF.flush()
        cache.note_written(_sha256(partial))
    return [len(key_I), width]


def _tables(folder: Path) -> list[Path]:
    return [path for pattern in _TABLES for path in sorted(folder.glob(pattern))]


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """A name to write to, which becomes `path` once all is written."""
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise DataError(
            path, f"cannot be written ({error.strerror})", "name another folder with --out"
        ) from error
