"""`magnet`: one command for everything that a person does with the product.

Knows the list of commands; each is loaded when it is asked for.
"""

import argparse
import sys
from collections.abc import Sequence

from deploy.magnet.catalogue import COMMANDS, MEANT
from training.cli import run_command

_DESCRIPTION = "Recommendations with reasons: train MAGNET on your data, serve it, ask it why."
_EPILOG = """\
examples:
  magnet run                              a sample, served at http://127.0.0.1:8000
  magnet run --data DIR                   the same with your data
  magnet recommend 196                    what user 196 is shown, and what speaks for it
  magnet explain 196 242                  why item 242 has its score

`magnet COMMAND --help` explains one; docs/command-line.md has all, and what exit statuses mean."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its status is one of `training.commands.EXIT_STATUS`."""
    return run_command(parser(), COMMANDS, sys.argv[1:] if arguments is None else arguments, MEANT)


def parser() -> argparse.ArgumentParser:
    """Of the whole command line, without commands."""
    return argparse.ArgumentParser(
        prog="magnet",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
