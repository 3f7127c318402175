"""What lies in a folder that another process may be changing."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def contents(folder: Path, most_bytes: float = float("inf")) -> Iterator[tuple[Path, bytes]]:
    """Files of less than so many bytes below a folder, but for those that go away meanwhile."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            with suppress(FileNotFoundError):
                if path.is_file() and path.stat().st_size < most_bytes:
                    yield path, path.read_bytes()


def files_with(folder: Path, text: str) -> list[Path]:
    """Files below a folder that hold a text."""
    return [path for path, raw in contents(folder) if text.encode() in raw]
