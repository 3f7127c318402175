"""API keys in a file: read when it changes, written whole or not at all.

Knows files; knows nothing about requests.
"""

import logging
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from service.api_keys import ApiKey, parse_keys

_HEAD = "# NAME SCOPES SHA256: API keys of the MAGNET service, see python -m service.keys --help\n"
_logger = logging.getLogger(__name__)


class KeyFile:
    """The keys of a file, as it is now."""

    def __init__(self, path: Path) -> None:
        """Read it; ValueError, which names file and line, if it is not usable."""
        self._path = path
        self._stamp = self._now()
        self.keys = read_keys(path)

    def refresh(self) -> None:
        """Read the file again if it has changed.

        A file that has gone or is broken changes nothing, so that a slip of an editor locks nobody
        out; it is logged.
        """
        stamp = self._now()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self.keys = read_keys(self._path)
        except ValueError as error:
            _logger.warning("the API keys stay as they were: %s", error)
        else:
            _logger.info("API keys read again: %s", ", ".join(key.name for key in self.keys))

    def _now(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file; ValueError, which names file and line, if it is not usable."""
    try:
        return parse_keys(path.read_text())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write_keys(path: Path, keys: Iterable[ApiKey]) -> None:
    """Replace a file, readable by its owner alone, so that a reader sees the old or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    fresh = Path(name)
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(_HEAD + "".join(f"{key.line()}\n" for key in keys))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
