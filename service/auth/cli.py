"""The command `keys`: makes, lists and revokes API keys."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from service.auth.keys import SCOPES, ApiKey, read_keys, write_keys

_FILE = click.Path(path_type=Path)


def make_key(name: str, scopes: Sequence[str], path: Path | None = None) -> tuple[ApiKey, str]:
    """A new key and its secret, which cannot be had again.

    Args:
        name: who holds it; in logs and metrics.
        scopes: what it opens, of `SCOPES`.
        path: the file to add it to; None: the caller stores its line.

    Raises:
        OSError: the file cannot be written.
        ValueError: name or scopes are not usable, the file is not, or it has a key of that name.
    """
    key, secret = ApiKey.new(name, scopes)
    if path is not None:
        present = read_keys(path) if path.exists() else ()
        if any(other.name == name for other in present):
            raise ValueError(
                f"{path} has a key named {name!r}: choose another name, give its holder the new "
                "key, and remove the old one then"
            )
        write_keys(path, [*present, key])
    return key, secret


def revoke_key(name: str, path: Path) -> None:
    """Take a key out of a file; OSError, or ValueError if it has none of that name."""
    present = read_keys(path)
    kept = [key for key in present if key.name != name]
    if len(kept) == len(present):
        raise ValueError(f"{path} has no key named {name!r}")
    write_keys(path, kept)


@click.group
def keys() -> None:
    """Make, list and remove API keys. A running service sees the file's new state by itself.

    Without --file, `new` prints the line to store: in MAGNET_KEYS, or in a file of your own.
    """


@keys.command
@click.option("--name", required=True, help="who holds it; in logs and metrics")
@click.option(
    "--scope",
    "scopes",
    required=True,
    multiple=True,
    type=click.Choice(SCOPES),
    help="read: recommendations and explanations; feedback: report events; admin: hide items, "
    "activate models; metrics: /metrics (repeat for several)",
)
@click.option("--file", type=_FILE, help="add the key to this file")
def new(name: str, scopes: tuple[str, ...], file: Path | None) -> None:
    """Make a key; its secret is shown once."""
    with _explained():
        key, secret = make_key(name, scopes, file)
    if file is None:
        click.echo(f"store this line: {key.line()}", err=True)
    else:
        click.echo(f"added {name} to {file}; ", err=True, nl=False)
    click.echo("the key, shown this once, goes into `Authorization: Bearer KEY`:", err=True)
    click.echo(secret)


@keys.command("list")
@click.option("--file", type=_FILE, required=True, help="a file of keys")
def list_keys(file: Path) -> None:
    """Names and scopes of a file's keys."""
    with _explained():
        for key in read_keys(file):
            click.echo(f"{key.name}\t{','.join(sorted(key.scopes))}")


@keys.command
@click.option("--name", required=True, help="whose key")
@click.option("--file", type=_FILE, required=True, help="a file of keys")
def remove(name: str, file: Path) -> None:
    """Take a key out of a file."""
    with _explained():
        revoke_key(name, file)
    click.echo(f"removed {name} from {file}", err=True)


@contextmanager
def _explained() -> Iterator[None]:
    """A fault of the file or its contents, as the message of the command."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
