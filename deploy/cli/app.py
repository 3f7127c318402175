"""`magnet`: one command for everything that a person does with the product.

Knows the list of commands; each is loaded when it is asked for.
"""

# FOLDED deploy/cli/app.py: All commands of `magnet`, in the order in which they are listed.
#
#   Knows names; the offline half has its own list, which is taken over as it is.
#
# FOLDED deploy/cli/app.py: The command `completion`: a script that makes a shell complete `magnet`.
#
#   Knows parsers; the script is made once and loads nothing of ours at the Tab key.
#

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import shtab

from training.cli.app import COMMANDS as OFFLINE
from training.cli.app import Command, command_parser, run_command

COMMANDS = (
    Command(
        "run",
        "data (yours, or a sample) -> model -> Redis -> service, on this machine",
        "deploy.local.launcher:configure",
        extras="service,training,local",
    ),
    *OFFLINE,
    Command(
        "recommend",
        "ask a service for a list",
        "deploy.cli.ask:configure",
        extras="local",
    ),
    Command(
        "explain",
        "ask a service why an item has its score",
        "deploy.cli.ask:configure",
        extras="local",
    ),
    Command(
        "keys",
        "make, list and remove API keys of a service",
        "service.auth.cli:configure",
        extras="service",
    ),
    Command(
        "completion",
        "print what makes a shell complete `magnet`",
        "deploy.cli.app:configure",
        extras="training,service,local",
    ),
)
MEANT = {
    "deploy": "run",
    "eval": "evaluate",
    "serve": "run",
    "start": "run",
    "train": "fit",
    "why": "explain",
}
"""What other tools call these commands."""


_DESCRIPTION = "Recommendations with reasons: train MAGNET on your data, serve it, ask it why."
_EPILOG = """\
examples:
  magnet run                              a sample, served at http://127.0.0.1:8000
  magnet run --data DIR                   the same with your data
  magnet recommend 196                    what user 196 is shown, and what speaks for it
  magnet explain 196 242                  why item 242 has its score

`magnet COMMAND --help` explains one; docs/command-line.md has all, and what exit statuses mean."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its status is one of `training.cli.app.EXIT_STATUS`."""
    return run_command(parser(), COMMANDS, sys.argv[1:] if arguments is None else arguments, MEANT)


def parser() -> argparse.ArgumentParser:
    """Of the whole command line, without commands."""
    return argparse.ArgumentParser(
        prog="magnet",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


SHELLS = ("bash", "zsh", "fish")
_COMPLETION_EPILOG = """\
bash  magnet completion bash > ~/.local/share/bash-completion/completions/magnet
zsh   magnet completion zsh > DIR/_magnet, where DIR is one of $fpath
fish  magnet completion fish > ~/.config/fish/completions/magnet.fish"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = "Print a script that makes a shell complete commands, options and files."
    parser.epilog = _COMPLETION_EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    whole = command_parser(parser(), COMMANDS)
    for action in actions(whole):
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # what shtab looks for
    sys.stdout.write(shtab.complete(whole, options.shell) + "\n")


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Options and arguments of a parser and of the commands below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from actions(below)
