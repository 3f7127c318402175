"""Writes that outlive a crash: a file is whole or absent, and on the disk once the call returns.

Knows files and folders; knows nothing about what is in them.
"""

# FOLDED training/data/files.py: Peak resident memory of this process.
#
#   Knows the operating system's counters; knows nothing about what uses the memory.
#

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"


def reset_peak() -> None:
    """Start a new peak; where the system cannot (only Linux can), the old one goes on."""
    if _CLEAR.exists():
        _CLEAR.write_text(_RESET_PEAK)


def peak_mb() -> float:
    """The peak since the last reset, in MB (10^6 bytes)."""
    if _STATUS.exists():
        line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used * 1024 / 1e6


_PARTIAL = ".partial"


def write_durably(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in its place in one step.

    The file's bytes reach the disk before its name does, and the name before this returns: what
    was there before is replaced by something whole, whenever the power goes.
    """
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}{_PARTIAL}")
    write(partial)
    _sync(partial)
    partial.replace(path)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, on the disk."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Get the names in a folder onto the disk."""
    _sync(folder)


def remove_partials(folder: Path) -> None:
    """Delete what killed writes left anywhere below a folder; nobody may be writing there."""
    for path in folder.rglob(f".*{_PARTIAL}"):
        path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
