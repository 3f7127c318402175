"""API keys, the file that holds them, and the command `magnet keys`.

Only the SHA-256 of a key is stored. A key is 256 random bits, so a slow hash would not make
guessing harder.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

import click

Scope = Literal["read", "feedback", "catalogue", "admin", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "mgk_"
"""Tells people and scanners for leaked secrets what it is."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HEAD = "# NAME SCOPES SHA256: API keys of the MAGNET service, see magnet keys --help\n"
_FILE = click.Path(path_type=Path)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One stored key: its holder's name, what it opens, and its hash."""

    name: str
    scopes: frozenset[Scope]
    sha256: str

    @classmethod
    def new(cls, name: str, scopes: Iterable[str]) -> tuple[Self, str]:
        """A new key and its secret, which is not stored; ValueError if name or scopes are bad."""
        secret = PREFIX + secrets.token_urlsafe(32)
        return cls(name=_name(name), scopes=_scopes(scopes), sha256=_digest(secret)), secret

    @classmethod
    def parse(cls, line: str) -> Self:
        """The inverse of `line`; ValueError, which does not repeat the hash."""
        parts = line.split()
        if len(parts) != 3 or not _DIGEST.fullmatch(parts[2]):
            raise ValueError("expected NAME SCOPE[,SCOPE] SHA256, made by `magnet keys new`")
        return cls(name=_name(parts[0]), scopes=_scopes(parts[1].split(",")), sha256=parts[2])

    def line(self) -> str:
        """How it is stored."""
        scopes = ",".join(scope for scope in SCOPES if scope in self.scopes)
        return f"{self.name} {scopes} {self.sha256}"


def parse_keys(text: str) -> tuple[ApiKey, ...]:
    """The keys in a text, one per line, without empty lines and comments (`#`).

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
    """The key with this secret, or None. All keys are compared, so the time tells nothing."""
    digest = _digest(secret)
    matching = [key for key in keys if hmac.compare_digest(key.sha256, digest)]
    return matching[-1] if matching else None


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
    """The keys in a file; `refresh` reads it again when it has changed."""

    def __init__(self, path: Path) -> None:
        """Read it; ValueError, which names file and line."""
        self._path = path
        self._stamp = self._read_stamp()
        self.keys = read_keys(path)
        self._check_rights()

    def refresh(self) -> None:
        """Read the file again if it has changed.

        If it is gone or broken, the keys stay and a warning is logged: a typo locks nobody out.
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
            self._check_rights()
            _logger.info("API keys read again: %s", ", ".join(key.name for key in self.keys))

    def _check_rights(self) -> None:
        with suppress(OSError):
            for trouble in rights_to_take(self._path):
                _logger.warning("API keys: %s", trouble)

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def rights_to_take(path: Path) -> list[str]:
    """What others may do with a file of secrets and should not, and the remedy; OSError.

    Who writes a file of keys has every right. Its group may read it: so the service does.
    """
    mode = path.stat().st_mode
    troubles = []
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        troubles.append(f"others may write {path}; take that away: chmod go-w {path}")
    if mode & stat.S_IROTH:
        troubles.append(f"everybody may read {path}; take that away: chmod o-r {path}")
    return troubles


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys in a file; ValueError, which names file and line."""
    try:
        return parse_keys(path.read_text())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a file of keys: it is not text") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write_keys(path: Path, keys: Iterable[ApiKey]) -> None:
    """Replace the file atomically; ValueError, which names it, if that cannot be done.

    Only its owner can read a new one. One that is there keeps owner and rights: the service, as
    another user, must see that a key is gone. A link stays one.
    """
    try:
        _replace(path.resolve(), keys)
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written: {error.strerror}; its folder must exist and be writable"
        ) from error


def _replace(path: Path, keys: Iterable[ApiKey]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    fresh = Path(name)
    try:
        with os.fdopen(handle, "w") as stream:
            if path.exists():
                _take_rights(stream.fileno(), path.stat())
            stream.write(_HEAD + "".join(f"{key.line()}\n" for key in keys))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _take_rights(handle: int, present: os.stat_result) -> None:
    """Give an open file the owner and the rights of another, as far as this user may."""
    with suppress(PermissionError):
        os.fchown(handle, present.st_uid, present.st_gid)
    os.fchmod(handle, stat.S_IMODE(present.st_mode))


@click.group("keys")
def keys_command() -> None:
    """Make, list and remove API keys. A running service notices that the file has changed.

    Without --file, `new` prints the line to store: in MAGNET_KEYS, or in a file of your own.
    """


@keys_command.command
@click.option("--name", required=True, help="who holds it; in logs and metrics")
@click.option(
    "--scope",
    "scopes",
    required=True,
    multiple=True,
    type=click.Choice(SCOPES),
    help="read: recommendations and explanations; feedback: report events; catalogue: put "
    "and delete items; admin: hide items, activate models; metrics: /metrics (repeat for several)",
)
@click.option("--file", type=_FILE, help="add the key to this file")
def new(name: str, scopes: tuple[str, ...], file: Path | None) -> None:
    """Make a key; its secret is shown once."""
    with _explained():
        key, secret = ApiKey.new(name, scopes)
        if file is not None:
            present = read_keys(file) if file.exists() else ()
            if any(other.name == name for other in present):
                raise ValueError(
                    f"{file} has a key named {name!r}: choose another name, give its holder the "
                    "new key, and remove the old one then"
                )
            write_keys(file, [*present, key])
    if file is None:
        click.echo(f"store this line: {key.line()}", err=True)
    else:
        click.echo(f"added {name} to {file}; ", err=True, nl=False)
    click.echo("the key, shown this once, goes into `Authorization: Bearer KEY`:", err=True)
    click.echo(secret)


@keys_command.command("list")
@click.option("--file", type=_FILE, required=True, help="a file of keys")
def list_keys(file: Path) -> None:
    """Names and scopes of a file's keys."""
    with _explained():
        for key in read_keys(file):
            click.echo(f"{key.name}\t{','.join(sorted(key.scopes))}")


@keys_command.command
@click.option("--name", required=True, help="whose key")
@click.option("--file", type=_FILE, required=True, help="a file of keys")
def remove(name: str, file: Path) -> None:
    """Take a key out of a file."""
    with _explained():
        present = read_keys(file)
        kept = [key for key in present if key.name != name]
        if len(kept) == len(present):
            raise ValueError(f"{file} has no key named {name!r}")
        write_keys(file, kept)
    click.echo(f"removed {name} from {file}", err=True)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn a fault of the file or its contents into the message of the command."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
