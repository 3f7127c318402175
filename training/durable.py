"""Writes that outlive a crash: a file is whole or absent, and on the disk once the call returns.

Knows files and folders; knows nothing about what is in them.
"""

import os
from collections.abc import Callable
from pathlib import Path

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
