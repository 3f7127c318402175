"""Arrays that follow from a model version, kept in its folder on this machine.

One process makes them. The others, and every restart, map them: they are no part of a process's own
memory. Each name ends in a number, which is raised when its arrays are made in another way.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from model.runtime.derived import Arrays, Keep, unkept

_CHECKSUM = "checksum"
_logger = logging.getLogger(__name__)


def kept_in(folder: Path | None) -> Keep:
    """Keeps arrays in the folder of a version; None: nowhere.

    A full disk costs their making only.
    """
    return unkept if folder is None else partial(_kept, folder)


def _kept(folder: Path, name: str, make: Callable[[], Arrays]) -> Arrays:
    from filelock import FileLock  # noqa: PLC0415  # 2 % of a start; only a cache needs it

    made = None
    try:
        with FileLock(folder / f".{name}.lock", mode=0o600):
            if (kept := _mapped(folder / name)) is None:
                made = make()
                _write(folder / name, made)
                kept = _mapped(folder / name)
            if kept is not None:
                return kept
    except OSError as error:
        _logger.warning("%s is not kept: %s", folder / name, error)
    return make() if made is None else made


def _mapped(folder: Path) -> Arrays | None:
    """What `_write` wrote; None if it is not there, or damaged."""
    try:
        if (folder / _CHECKSUM).read_text() == _checksum(folder):
            # Plain arrays: every part of a map is made as a map again.
            return {
                path.stem: np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
                for path in folder.glob("*.npy")
            }
    except (OSError, ValueError):
        pass
    return None


def _write(folder: Path, arrays: Arrays) -> None:
    """Torn, its checksum fails."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    (folder / _CHECKSUM).write_text(_checksum(folder))


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.npy")):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
