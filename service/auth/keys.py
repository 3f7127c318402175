"""API keys: how one looks, which one a caller shows, and the file that holds them.

Of a key only its SHA-256 is stored. That is enough: a key is 256 random bits, so that a slow hash
would not make guessing harder. The file is read again when it changes, and written whole or not at
all.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

Scope = Literal["read", "feedback", "admin", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "mgk_"
"""By which scanners for leaked secrets, and people, tell what it is."""
_RANDOM_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HEAD = "# NAME SCOPES SHA256: API keys of the MAGNET service, see magnet keys --help\n"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One stored key: who holds it, what it opens, and its hash."""

    name: str
    scopes: frozenset[Scope]
    sha256: str

    @classmethod
    def new(cls, name: str, scopes: Iterable[str]) -> tuple[Self, str]:
        """A new key and its secret, which is not kept; ValueError if name or scopes are unusable."""
        secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        return cls(name=_name(name), scopes=_scopes(scopes), sha256=_digest(secret)), secret

    @classmethod
    def parse(cls, line: str) -> Self:
        """The key of a `line`; ValueError, which repeats no hash, if it is none."""
        parts = line.split()
        if len(parts) != 3 or not _DIGEST.fullmatch(parts[2]):
            raise ValueError("expected NAME SCOPE[,SCOPE] SHA256, made by `magnet keys new`")
        return cls(name=_name(parts[0]), scopes=_scopes(parts[1].split(",")), sha256=parts[2])

    def line(self) -> str:
        """How it is stored."""
        scopes = ",".join(scope for scope in SCOPES if scope in self.scopes)
        return f"{self.name} {scopes} {self.sha256}"


def parse_keys(text: str) -> tuple[ApiKey, ...]:
    """The keys in a text, one a line; empty lines and those that begin with `#` are skipped.

    Raises:
        ValueError: names the line.
    """
    keys: dict[str, ApiKey] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            key = ApiKey.parse(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if key.name in keys:
            raise ValueError(f"line {number}: there is a key named {key.name!r} already")
        keys[key.name] = key
    return tuple(keys.values())


def find_key(keys: Iterable[ApiKey], secret: str) -> ApiKey | None:
    """The key with this secret, or None; always takes equally long."""
    digest = _digest(secret)
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"a key's name {name!r} is not usable: 1 to 64 letters, digits, '.', '_' or '-', "
            "starting with a letter or digit"
        )
    return name


def _scopes(names: Iterable[str]) -> frozenset[Scope]:
    asked = set(names)
    known = frozenset(scope for scope in SCOPES if scope in asked)
    if not asked or asked != known:
        unknown = ", ".join(sorted(asked - known)) or "none"
        raise ValueError(f"scopes are of {', '.join(SCOPES)}, not {unknown}")
    return known


class KeyFile:
    """The keys of a file, as it is now."""

    def __init__(self, path: Path) -> None:
        """Read it; ValueError, which names file and line, if it is not usable."""
        self._path = path
        self._stamp = self._read_stamp()
        self.keys = read_keys(path)

    def refresh(self) -> None:
        """Read the file again if it has changed.

        A file that has gone or is broken changes nothing, so that a slip of an editor locks nobody
        out; it is logged.
        """
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self.keys = read_keys(self._path)
        except ValueError as error:
            _logger.warning("the API keys stay as they were: %s", error)
        else:
            _logger.info("API keys read again: %s", ", ".join(key.name for key in self.keys))

    def _read_stamp(self) -> tuple[int, int, int] | None:
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
