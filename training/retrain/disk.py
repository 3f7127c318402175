"""A full disk, told as such, whichever library was writing.

Knows how libraries say so; knows nothing about what they wrote.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.explained import ExplainedError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_ROOM_BYTES = 2**20
"""With less left than this, whatever is not explained otherwise is put down to it: PyTorch only
says that a write failed, and what it has written by then stays."""


class DiskFullError(ExplainedError):
    """There is no room for what a retraining writes."""


@contextmanager
def full_disk_explained(folder: Path) -> Iterator[None]:
    """Faults that come of a full disk below a folder are raised as DiskFullError."""
    try:
        yield
    except ExplainedError:
        raise
    except Exception as error:
        if not _is_full(error, folder):
            raise
        raise DiskFullError(
            f"the disk of {folder} is full ({error}); nothing live was changed and no event is "
            "lost: make room, then run it again (docs/operations.md says what may go)"
        ) from error


def _is_full(error: Exception, folder: Path) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path())
    return shutil.disk_usage(there).free < _NO_ROOM_BYTES
