"""The commands of the offline half, and a parser of which only the one that is asked for is built.

Knows names, one line about each and where its options are; loads nothing until it is asked for,
so that help is there at once. Knows nothing about what a command does.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from training.explained import ExplainedError

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
        "training.intake.command:configure",
    ),
    Command(
        "synthesise",
        "write a data folder in which every user's taste is known",
        "training.synthesise_command:configure",
    ),
    Command(
        "encode",
        "turn items' texts and pictures into content features",
        "training.encode_command:configure",
        extras="training,encoders",
    ),
    Command(
        "fit",
        "train on a folder of interactions and write an artifact",
        "training.fit_command:configure_fit",
    ),
    Command(
        "export",
        "write an artifact of a training that was stopped, without training further",
        "training.fit_command:configure_export",
    ),
    Command(
        "evaluate",
        "measure an artifact on its data's test part",
        "training.fit_command:configure_evaluate",
    ),
    Command(
        "benchmark",
        "compare MAGNET with tuned baselines on a folder of interactions",
        "training.benchmark.command:configure",
    ),
    Command(
        "cold-start",
        "measure how well users and items are served that were not trained with",
        "training.cold_start.command:configure",
    ),
    Command(
        "schedule",
        "compare the entropy trigger with fixed two-stage schedules",
        "training.schedules.command:configure",
    ),
    Command(
        "faithfulness",
        "measure whether an artifact's explanations are true",
        "training.faithfulness_command:configure",
    ),
    Command(
        "report",
        "draw an artifact: which experts serve whom, the long tail, where items lie",
        "training.portrait.command:configure",
    ),
    Command(
        "publish",
        "make an artifact the live model of a Redis-protocol server",
        "training.publish_command:configure",
    ),
    Command(
        "models",
        "list the versions that are stored, and which is live",
        "training.models_command:configure_models",
    ),
    Command(
        "promote",
        "make a stored version live",
        "training.models_command:configure_promote",
    ),
    Command(
        "rollback",
        "go back to the version before the live one, and pin it",
        "training.models_command:configure_rollback",
    ),
    Command(
        "pin",
        "keep the live version live, whatever is published",
        "training.models_command:configure_pin",
    ),
    Command(
        "unpin",
        "let the next publish go live again",
        "training.models_command:configure_unpin",
    ),
    Command(
        "canary",
        "let a stored version serve a share of the users, or stop that",
        "training.models_command:configure_canary",
    ),
    Command(
        "events",
        "feedback events: drain the stream into the log, inspect, export, compact",
        "training.event_log.command:configure",
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
