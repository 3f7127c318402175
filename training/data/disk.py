"""Whether there is room on a disk, before work begins and when a write has failed."""

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import ExplainedError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_ROOM_BYTES = 2**20
"""With less left than this, any unexplained error is taken for a full disk: PyTorch only says that
a write failed."""


class DiskFullError(ExplainedError):
    """There is no room for what a job writes."""


@contextmanager
def full_disk_explained(folder: Path, remedy: str) -> Iterator[None]:
    """Raise errors that come of a full disk below a folder as DiskFullError, with a remedy."""
    try:
        yield
    except ExplainedError:
        raise
    except Exception as error:
        if not _is_full(error, folder):
            raise
        raise DiskFullError(f"the disk of {folder} is full ({error}); {remedy}") from error


def check_room(folder: Path, num_bytes: int) -> None:
    """DiskFullError if fewer bytes are free for files in a folder, which is made.

    Raises:
        OSError: nothing can be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"0")
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise DiskFullError(
            f"the disk of {folder} has {free / 1e6:,.1f} MB left, and at least "
            f"{num_bytes / 1e6:,.1f} MB are needed; make room, or choose another folder"
        )


def _is_full(error: Exception, folder: Path) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path())
    return shutil.disk_usage(there).free < _NO_ROOM_BYTES
