"""The command line of the offline half: what was typed becomes a command's run and its status.

Knows how errors are told; knows nothing about any command.
"""

# FOLDED training/cli/app.py: The commands of the offline half, and a parser of which only the one that is asked for is built.
#
#   Knows names, one line about each and where its options are; loads nothing until it is asked for,
#   so that help is there at once. Knows nothing about what a command does.
#

import argparse
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import TextIO

from pydantic import ValidationError

from model.artifact.files import ArtifactError
from training.errors import ExplainedError
from training.fit.distributed import reuse_large_buffers

EXIT_STATUS = {
    0: "done; for `retrain`: a new model is live (or a canary, or stored, while another is "
    "pinned), or nothing was to do",
    1: "a fault; the message says which and what to do, and nothing live was changed",
    2: "the command line is wrong, or, for `import`, what the files mean is not clear; the message "
    "says where, and what to write",
    3: "`retrain`: the gate refused the new model; it is kept, and the live one serves on",
    4: "`retrain`: another retraining holds the lock",
    130: "interrupted by Ctrl-C",
    143: "`retrain`: stopped by SIGTERM",
}
"""What each exit status says, for every command."""


class CommandLineError(ExplainedError):
    """What was typed is no command line; the message says what is perhaps meant."""


@dataclass(frozen=True, slots=True)
class Command:
    """One word of the command line."""

    name: str
    summary: str
    """One line for the list of commands."""
    configure: str
    """`module:function` that gives a parser its description, its options and a default `run`."""
    extras: str = "training"
    """Extras of the project that it needs, with commas."""

    def load(self) -> Callable[[argparse.ArgumentParser], None]:
        """The function that configures a parser.

        Raises:
            ExplainedError: a library is not installed.
        """
        module, _, function = self.configure.partition(":")
        try:
            loaded: Callable[[argparse.ArgumentParser], None] = getattr(
                import_module(module), function
            )
        except ModuleNotFoundError as error:
            raise ExplainedError(
                f"`{self.name}` needs {error.name}, which is not installed: "
                f"pip install -e '.[{self.extras}]' in the project's folder"
            ) from error
        return loaded


COMMANDS = (
    Command(
        "import",
        "make a data folder from your own CSV, JSONL or Parquet files",
        "training.ingest.command:configure",
    ),
    Command(
        "synthesise",
        "write a data folder in which every user's taste is known",
        "training.cli.synthesise:configure",
    ),
    Command(
        "encode",
        "turn items' texts and pictures into content features",
        "training.encode.command:configure",
        extras="training,encoders",
    ),
    Command(
        "fit",
        "train on a folder of interactions and write an artifact",
        "training.cli.fit:configure_fit",
    ),
    Command(
        "export",
        "write an artifact of a training that was stopped, without training further",
        "training.cli.fit:configure_export",
    ),
    Command(
        "evaluate",
        "measure an artifact on its data's test part",
        "training.cli.fit:configure_evaluate",
    ),
    Command(
        "benchmark",
        "compare MAGNET with tuned baselines on a folder of interactions",
        "training.experiments.commands:configure_benchmark",
    ),
    Command(
        "cold-start",
        "measure how well users and items are served that were not trained with",
        "training.experiments.commands:configure_cold_start",
    ),
    Command(
        "schedule",
        "compare the entropy trigger with fixed two-stage schedules",
        "training.experiments.commands:configure_schedule",
    ),
    Command(
        "faithfulness",
        "measure whether an artifact's explanations are true",
        "training.experiments.commands:configure_faithfulness",
    ),
    Command(
        "report",
        "draw an artifact: which experts serve whom, the long tail, where items lie",
        "training.experiments.commands:configure_report",
    ),
    Command(
        "publish",
        "make an artifact the live model of a Redis-protocol server",
        "training.publish.command:configure",
    ),
    Command(
        "models",
        "list the versions that are stored, and which is live",
        "training.publish.command:configure_models",
    ),
    Command(
        "promote",
        "make a stored version live",
        "training.publish.command:configure_promote",
    ),
    Command(
        "rollback",
        "go back to the version before the live one, and pin it",
        "training.publish.command:configure_rollback",
    ),
    Command(
        "pin",
        "keep the live version live, whatever is published",
        "training.publish.command:configure_pin",
    ),
    Command(
        "unpin",
        "let the next publish go live again",
        "training.publish.command:configure_unpin",
    ),
    Command(
        "canary",
        "let a stored version serve a share of the users, or stop that",
        "training.publish.command:configure_canary",
    ),
    Command(
        "events",
        "feedback events: drain the stream into the log, inspect, export, compact",
        "training.feedback.command:configure",
    ),
    Command(
        "retrain",
        "drain feedback, train, compare with the live model, publish if no worse",
        "training.retrain.command:configure",
    ),
)


def command_parser(
    parser: argparse.ArgumentParser, commands: Iterable[Command], chosen: str | None = None
) -> argparse.ArgumentParser:
    """Add commands to `parser`, and return it.

    Args:
        parser: of the whole command line.
        commands: what to add, in this order.
        chosen: the one whose options are needed; None for those of all.
    """
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in commands:
        added = subparsers.add_parser(command.name, help=command.summary)
        if chosen in (None, command.name):
            command.load()(added)
    return parser


def positive_number(text: str) -> int:
    """A whole number from 1 on, as the type of an option."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def check_name(name: str, commands: Iterable[Command], meant: Mapping[str, str]) -> None:
    """CommandLineError, naming what is near, unless `name` is that of a command.

    Args:
        name: what was typed.
        commands: those that there are.
        meant: words that other tools use, and what they are called here.
    """
    names = [command.name for command in commands]
    if name in names:
        return
    near = get_close_matches(name, [*names, *meant])
    words = dict.fromkeys(f"`{meant.get(each, each)}`" for each in near)
    hint = f"did you mean {' or '.join(words)}? " if words else ""
    raise CommandLineError(f"there is no command `{name}`: {hint}--help lists them")


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
    """Run what `arguments` name; its status is one of `training.cli.app.EXIT_STATUS`.

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
        import_module("training.fit.distributed").leave_room()
    return options
