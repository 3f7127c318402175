"""The command line of the offline half: what was typed becomes a command's run and its status.

Knows how errors are told; knows nothing about any command.
"""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import TextIO

from pydantic import ValidationError

from model.contract.artifact import ArtifactError
from training.allocator import reuse_large_buffers
from training.commands import (
    COMMANDS,
    Command,
    CommandLineError,
    check_name,
    command_parser,
)
from training.explained import ExplainedError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the offline half, see `run_command`."""
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train, evaluate and publish MAGNET, a multimodal mixture of graph experts.",
    )
    return run_command(parser, COMMANDS, sys.argv[1:] if arguments is None else arguments)


def run_command(
    parser: argparse.ArgumentParser,
    commands: Sequence[Command],
    arguments: Sequence[str],
    meant: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Run what `arguments` name; its status is one of `training.commands.EXIT_STATUS`.

    Args:
        parser: of the whole command line, without commands.
        commands: those that there are.
        arguments: what was typed.
        meant: words that other tools use, and what they are called here.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_ToStderr()])
    logging.getLogger("training").setLevel(logging.INFO)
    if not arguments:
        command_parser(parser, commands, chosen="").print_help(sys.stderr)
        return 2
    try:
        options = _parsed(parser, commands, arguments, meant)
        return options.run(options) or 0
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            option = str(fault["loc"][0]).replace("_", "-") if fault["loc"] else "options"
            sys.stderr.write(f"error: --{option}: {fault['msg']} (got {fault['input']!r})\n")
        return 2
    except (ArtifactError, ExplainedError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2 if isinstance(error, CommandLineError) else 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to what is standard error at the moment: a bar takes lines in above itself."""

    @property
    def stream(self) -> TextIO:
        """Standard error."""
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        """Stays what it is."""


def _parsed(
    parser: argparse.ArgumentParser,
    commands: Sequence[Command],
    arguments: Sequence[str],
    meant: Mapping[str, str],
) -> argparse.Namespace:
    """The options of a command, whose libraries are loaded and set up."""
    name = arguments[0]
    if name and not name.startswith("-"):
        check_name(name, commands, meant)
    options = command_parser(parser, commands, chosen=name).parse_args(arguments)
    if "torch" in sys.modules:
        reuse_large_buffers()
        import_module("training.threads").leave_room()
    return options
