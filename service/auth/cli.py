"""Makes, lists and revokes API keys. A running service sees the file's new state by itself.

    magnet keys new --name shop --scope read --scope feedback --file keys.txt
    magnet keys list --file keys.txt
    magnet keys remove --name shop --file keys.txt

Without --file, `new` prints the line to store: in MAGNET_KEYS, or in a file of your own.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from service.auth.keys import SCOPES, ApiKey, read_keys, write_keys


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
        keys = read_keys(path) if path.exists() else ()
        if any(other.name == name for other in keys):
            raise ValueError(
                f"{path} has a key named {name!r}: choose another name, give its holder the new "
                "key, and remove the old one then"
            )
        write_keys(path, [*keys, key])
    return key, secret


def revoke_key(name: str, path: Path) -> None:
    """Take a key out of a file; OSError, or ValueError if it has none of that name."""
    keys = read_keys(path)
    kept = [key for key in keys if key.name != name]
    if len(kept) == len(keys):
        raise ValueError(f"{path} has no key named {name!r}")
    write_keys(path, kept)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it is done, 1 with a message on standard error if it cannot be."""
    parser = argparse.ArgumentParser(prog="python -m service.auth.cli")
    configure(parser)
    options = parser.parse_args(arguments)
    return int(options.run(options))


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register what it can do."""
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True, metavar="ACTION")
    new = commands.add_parser("new", help="make a key; its secret is shown once")
    new.add_argument("--name", required=True, help="who holds it; in logs and metrics")
    new.add_argument(
        "--scope",
        required=True,
        action="append",
        choices=SCOPES,
        help="read: recommendations and explanations; feedback: report events; admin: hide items, "
        "activate models; metrics: /metrics (repeat for several)",
    )
    new.add_argument("--file", type=Path, metavar="FILE", help="add the key to this file")
    listing = commands.add_parser("list", help="names and scopes of a file's keys")
    listing.add_argument("--file", type=Path, metavar="FILE", required=True)
    remove = commands.add_parser("remove", help="take a key out of a file")
    remove.add_argument("--name", required=True)
    remove.add_argument("--file", type=Path, metavar="FILE", required=True)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    try:
        match options.command:
            case "new":
                key, secret = make_key(options.name, options.scope, options.file)
                where = f"added {key.name} to {options.file}; "
                sys.stderr.write(f"store this line: {key.line()}\n" if not options.file else where)
                sys.stderr.write(
                    "the key, shown this once, goes into `Authorization: Bearer KEY`:\n"
                )
                sys.stdout.write(f"{secret}\n")
            case "list":
                for key in read_keys(options.file):
                    sys.stdout.write(f"{key.name}\t{','.join(sorted(key.scopes))}\n")
            case "remove":
                revoke_key(options.name, options.file)
                sys.stderr.write(f"removed {options.name} from {options.file}\n")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"magnet: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
