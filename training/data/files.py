"""Writes that outlive a crash (a file is whole or absent), and the peak memory of this process."""

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"
_PARTIAL = ".partial"


def reset_peak() -> None:
    """Start a new peak (Linux only; elsewhere the old one goes on)."""
    if _CLEAR.exists():
        _CLEAR.write_text(_RESET_PEAK)


def peak_mb() -> float:
    """The peak of resident memory since the last reset, in MB (10^6 bytes).

    On Linux from /proc: psutil has no peak, and getrusage's includes that of the process which
    started this one.
    """
    if _STATUS.exists():
        line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used * 1024 / 1e6


def write_durably(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in its place in one step.

    The file's bytes reach the disk before its name does, and the name before this returns. After a
    power cut `path` is the old file or the new one, whole; after an error nothing else is left.
    """
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}{_PARTIAL}")
    partial.touch()  # what cannot be written is an OSError that names it, whatever `write` raises
    try:
        write(partial)
        sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, on the disk."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def remove_partials(folder: Path) -> None:
    """Delete what killed writes left anywhere below a folder; nobody may be writing there."""
    for path in folder.rglob(f".*{_PARTIAL}"):
        path.unlink()


def sync(path: Path) -> None:
    """Get a file's bytes, or the names in a folder, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
