"""`magnet`: one command for everything that a person does with the product.

The list of commands is here. A command's module is loaded when the command is asked for.
"""

import logging
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NamedTuple, TextIO

import click
from click.shell_completion import CompletionItem, get_completion_class
from typing_extensions import override

from deploy.cli import VERSION
from deploy.cli.terminal import print_anything

EXIT_STATUS = {
    0: "done; for `retrain`: a new model is live (or a canary, or stored, while another is "
    "pinned), or nothing was to do",
    1: "a fault; the message says which and what to do, and nothing live was changed. For `status` "
    "and `doctor`: something is wrong",
    2: "the command line is wrong, or, for `import`, what the files mean is not clear; the message "
    "says where, and what to write",
    3: "`retrain`: the promotion rules refused the new model; it is kept, and the live one serves "
    "on. `promote --if-better`, `experiment --check`: it is not known that the canary is better",
    4: "`retrain`: another retraining holds the lock",
    130: "interrupted by Ctrl-C",
    143: "`retrain`: stopped by SIGTERM",
}
"""What each exit status says, for every command."""


class Entry(NamedTuple):
    """One command in the list."""

    name: str
    summary: str
    place: str
    """`module:attribute` of the click command."""
    extras: str = "training"
    """Extras of the project that it needs, with commas."""


_ASK, _OPERATE, _VERSIONS = "deploy.cli.ask", "deploy.cli.operate", "training.publish.command"
_RESEARCH = "training.experiments.commands"
SECTIONS = {
    "Ask a service": (
        Entry("recommend", "ask for a list, with reasons", f"{_ASK}:recommend", "local"),
        Entry("explain", "ask why an item has its score", f"{_ASK}:explain", "local"),
        Entry("similar", "ask for items that are like one", f"{_ASK}:similar", "local"),
        Entry("user", "ask what is known of a user", f"{_ASK}:user", "local"),
    ),
    "Your own data": (
        Entry(
            "run",
            "data (yours, or a sample) -> model -> Redis -> service, on this machine",
            "deploy.local.launcher:run",
            "service,training,local",
        ),
        Entry(
            "example",
            "write the files of a small shop to try it with",
            "deploy.local.example:example",
        ),
        Entry(
            "import",
            "make a data folder from your own CSV, JSONL or Parquet files",
            "training.ingest.command:import_command",
        ),
        Entry(
            "encode",
            "turn items' texts and pictures into content features",
            "training.encode.command:encode",
            "training,encoders",
        ),
        Entry(
            "fit",
            "train on a folder of interactions and write an artifact",
            "training.publish.fit:fit_command",
        ),
        Entry(
            "export",
            "write an artifact of a training that was stopped, without training further",
            "training.cli.fit:export_command",
        ),
        Entry(
            "evaluate",
            "measure an artifact on its data's test part",
            "training.cli.fit:evaluate_command",
        ),
        Entry(
            "report",
            "draw an artifact: which experts serve whom, the long tail, where items lie",
            f"{_RESEARCH}:report",
        ),
        Entry(
            "publish",
            "make an artifact the live model of a Redis-protocol server",
            f"{_VERSIONS}:publish",
        ),
    ),
    "Operate": (
        Entry("serve", "run the service", "deploy.cli.serve:serve", "service"),
        Entry("status", "show what is reachable, and which version is live", f"{_OPERATE}:status"),
        Entry("doctor", "check everything, and say what to do", f"{_OPERATE}:doctor"),
        Entry(
            "keys", "make, list and remove API keys", "service.auth.keys:keys_command", "service"
        ),
        Entry(
            "items",
            "put, change, retire and show items of a running service",
            "deploy.cli.items:items",
            "local",
        ),
        Entry("hide", "have items in no list", "deploy.cli.items:hide", "local"),
        Entry("show", "let hidden items be in lists again", "deploy.cli.items:show", "local"),
        Entry(
            "events",
            "feedback events: drain the stream into the log, inspect, export, compact",
            "training.feedback.command:events",
        ),
        Entry("users", "forget users, and see how far that has come", "deploy.cli.users:users"),
        Entry(
            "retrain",
            "drain feedback, train, compare with the live model, publish if no worse",
            "training.retrain.command:retrain_command",
        ),
        Entry(
            "models",
            "list the versions that are stored, and which is live",
            f"{_VERSIONS}:models",
        ),
        Entry("promote", "make a stored version live", f"{_VERSIONS}:promote"),
        Entry(
            "rollback",
            "go back to the version before the live one, and pin it",
            f"{_VERSIONS}:rollback",
        ),
        Entry("pin", "keep the live version live, whatever is published", f"{_VERSIONS}:pin"),
        Entry("unpin", "let the next publish go live again", f"{_VERSIONS}:unpin"),
        Entry(
            "canary",
            "let a stored version serve a share of the users, or stop that",
            f"{_VERSIONS}:canary",
        ),
        Entry(
            "experiment",
            "show whether the canary is better than the live model",
            "deploy.cli.experiment:experiment",
            "local",
        ),
    ),
    "Research": (
        Entry(
            "benchmark",
            "compare MAGNET with tuned baselines, and with itself without some of its pieces",
            f"{_RESEARCH}:benchmark",
        ),
        Entry(
            "leaders",
            "say who leads on which data, from kept figures of `benchmark`",
            f"{_RESEARCH}:leaders_command",
        ),
        Entry(
            "costs",
            "measure what training costs, beside LightGCN in the same run",
            f"{_RESEARCH}:costs",
        ),
        Entry(
            "cold-start",
            "measure how well users and items are served that were not trained with",
            f"{_RESEARCH}:cold_start",
        ),
        Entry(
            "live-events",
            "measure lists after a user's first events, beside training with them",
            f"{_RESEARCH}:live_events",
        ),
        Entry(
            "schedule",
            "compare the entropy trigger with fixed two-stage schedules",
            f"{_RESEARCH}:schedule",
        ),
        Entry(
            "faithfulness",
            "measure whether an artifact's explanations are true",
            f"{_RESEARCH}:faithfulness",
        ),
        Entry(
            "synthesise",
            "write a data folder in which every user's preferences are known",
            "training.cli.synthesise:synthesise",
        ),
    ),
    "Other": (
        Entry("completion", "print what makes a shell complete `magnet`", f"{__name__}:completion"),
    ),
}
ENTRIES = {entry.name: entry for section in SECTIONS.values() for entry in section}
MEANT = {
    "ablate": "benchmark",
    "ablations": "benchmark",
    "deploy": "run",
    "eval": "evaluate",
    "schedules": "schedule",
    "start": "run",
    "train": "fit",
    "why": "explain",
}
"""What other tools call these commands."""


class Magnet(click.Group):
    """A group whose commands are those of `SECTIONS`, each loaded when it is asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the help."""
        return list(ENTRIES)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, loaded; click.ClickException if a library of it is not installed."""
        entry = ENTRIES.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.place.partition(":")
        try:
            command: click.Command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"`{cmd_name}` needs {error.name}, which is not installed: "
                f"pip install 'magnet-recommender[{entry.extras}]'"
            ) from error
        if "torch" in sys.modules:
            torch_memory = import_module("training.fit.distributed")
            torch_memory.reuse_large_buffers()
            torch_memory.leave_room()
        return command

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named; click.UsageError that says what is near if there is none."""
        name = args[0]
        if not (name.startswith("-") or name in ENTRIES or ctx.resilient_parsing):
            near = get_close_matches(name, [*ENTRIES, *MEANT])
            words = dict.fromkeys(f"`{MEANT.get(each, each)}`" for each in near)
            hint = f"did you mean {' or '.join(words)}? " if words else ""
            raise click.UsageError(f"there is no command `{name}`: {hint}--help lists them")
        return super().resolve_command(ctx, args)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The sections."""
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(entry.name, entry.summary) for entry in entries])

    @override
    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands, without loading any, and options of `magnet` itself."""
        commands = [
            CompletionItem(entry.name, help=entry.summary)
            for entry in ENTRIES.values()
            if entry.name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)


_EPILOG = """\b
examples:
  magnet run                   a sample, served at http://127.0.0.1:8000
  magnet run --data DIR        the same with your data
  magnet recommend 196         what user 196 is shown, and why
  magnet explain 196 242       why item 242 has its score

`magnet COMMAND --help` explains one; docs/command-line.md has all, and what exit statuses mean."""


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=Magnet, epilog=_EPILOG, context_settings=_CONTEXT)
@click.version_option(VERSION, prog_name="magnet", message="%(prog)s %(version)s")
def magnet() -> None:
    """Recommendations with reasons: train MAGNET on your data, serve it, ask it why."""


_COMPLETION_EPILOG = """\b
bash  magnet completion bash > ~/.local/share/bash-completion/completions/magnet
zsh   magnet completion zsh > DIR/_magnet, where DIR is one of $fpath
fish  magnet completion fish > ~/.config/fish/completions/magnet.fish"""


@click.command(epilog=_COMPLETION_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that makes a shell complete commands, options and files."""
    shell_class = get_completion_class(shell)
    assert shell_class is not None
    click.echo(shell_class(magnet, {}, "magnet", "_MAGNET_COMPLETE").source())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its status is one of `EXIT_STATUS`.

    Args:
        arguments: what was typed after `magnet`; None for those of this process.
    """
    print_anything()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_ToStderr()])
    logging.getLogger("training").setLevel(logging.INFO)
    words = None if arguments is None else list(arguments)
    try:
        return magnet.main(words, prog_name="magnet", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stderr.write(f"{error.format_message()}\n")
        return error.exit_code
    except click.ClickException as error:
        sys.stderr.write(f"error: {_message(error)}\n")
        return error.exit_code
    except click.Abort:
        sys.stderr.write("interrupted\n")
        return 130
    except Exception as error:
        if isinstance(error, _explained()):
            sys.stderr.write(f"error: {error}\n")
        elif isinstance(error, OSError) and error.strerror is not None:
            names = dict.fromkeys(each for each in (error.filename, error.filename2) if each)
            sys.stderr.write(
                f"error: {error.strerror}: {' -> '.join(map(str, names)) or 'output'}\n"
            )
        else:
            raise
        return 1


def _message(error: click.ClickException) -> str:
    """One line; after a mistake in a command's options it says which help explains them."""
    text = error.format_message()
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None or context.parent is None:
        return text
    return f"{text.rstrip('.')} (see {context.command_path} --help)"


def _explained() -> tuple[type[Exception], ...]:
    """The errors whose message is all that a person needs, of the modules that are loaded."""
    homes = {"training.errors": "ExplainedError", "model.artifact.files": "ArtifactError"}
    return tuple(
        getattr(sys.modules[module], name)
        for module, name in homes.items()
        if module in sys.modules
    )


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to what is standard error at the moment: a progress bar shows lines above itself."""

    @property
    def stream(self) -> TextIO:
        """Standard error."""
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        """Stays what it is."""
