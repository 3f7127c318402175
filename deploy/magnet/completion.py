"""The command `completion`: a script that makes a shell complete `magnet`.

Knows parsers; the script is made once and loads nothing of ours at the Tab key.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import shtab

from deploy.magnet.catalogue import COMMANDS
from deploy.magnet.command import parser as magnet_parser
from training.commands import command_parser

SHELLS = ("bash", "zsh", "fish")
_EPILOG = """\
bash  magnet completion bash > ~/.local/share/bash-completion/completions/magnet
zsh   magnet completion zsh > DIR/_magnet, where DIR is one of $fpath
fish  magnet completion fish > ~/.config/fish/completions/magnet.fish"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = "Print a script that makes a shell complete commands, options and files."
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    parser = command_parser(magnet_parser(), COMMANDS)
    for action in actions(parser):
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # what shtab looks for
    sys.stdout.write(shtab.complete(parser, options.shell) + "\n")


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Options and arguments of a parser and of the commands below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from actions(below)
