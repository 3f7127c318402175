"""Makes, lists and removes API keys. A running service sees the file's new state by itself.

    python -m service.auth.cli new --name shop --scope read --scope feedback --file keys.txt
    python -m service.auth.cli list --file keys.txt
    python -m service.auth.cli remove --name shop --file keys.txt

Without --file, `new` prints the line to store: in MAGNET_KEYS, or in a file of your own.
"""

import argparse
import sys
from pathlib import Path

from service.auth.keys import SCOPES, ApiKey, read_keys, write_keys


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
                _new(options.name, options.scope, options.file)
            case "list":
                for key in read_keys(options.file):
                    _say(f"{key.name}\t{','.join(sorted(key.scopes))}")
            case "remove":
                _remove(options.name, options.file)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"magnet: {error}\n")
        return 1
    return 0


def _new(name: str, scopes: list[str], path: Path | None) -> None:
    key, secret = ApiKey.new(name, scopes)
    if path is None:
        sys.stderr.write(f"store this line: {key.line()}\n")
    else:
        keys = read_keys(path) if path.exists() else ()
        if any(other.name == name for other in keys):
            raise ValueError(
                f"{path} has a key named {name!r}: choose another name, give its holder the new "
                "key, and remove the old one then"
            )
        write_keys(path, [*keys, key])
        sys.stderr.write(f"added {name} to {path}; ")
    sys.stderr.write("the key, shown this once, goes into `Authorization: Bearer KEY`:\n")
    _say(secret)


def _remove(name: str, path: Path) -> None:
    keys = read_keys(path)
    kept = [key for key in keys if key.name != name]
    if len(kept) == len(keys):
        raise ValueError(f"{path} has no key named {name!r}")
    write_keys(path, kept)
    sys.stderr.write(f"removed {name} from {path}\n")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
