"""Writes docs/command-line.md from the parsers of `magnet` themselves.

    python docs/list_commands.py

Knows argparse; knows nothing about what the commands do.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from deploy.cli.app import COMMANDS
from deploy.cli.app import parser as magnet_parser
from training.cli.app import EXIT_STATUS, command_parser

PAGE = Path(__file__).parent / "command-line.md"
_LAID_OUT = "\n\n"
"""What follows in a description is laid out for terminals."""
_INTRODUCTION = """# Command line

Written by `python docs/list_commands.py` from the commands themselves. `magnet` is on the path in
the project's virtual environment (`source .venv/bin/activate`). `python -m training COMMAND` does
the same for the commands of the offline half, where nothing else is installed.

Progress and messages go to standard error, answers to standard output. An error is one line that
says what is wrong and what to do. Commands whose answer others may want to read have `--json`.
"""


def page() -> str:
    """The whole page."""
    parser = command_parser(magnet_parser(), COMMANDS)
    rows = [(f"[`{each.name}`](#magnet-{each.name})", each.summary) for each in COMMANDS]
    parts = [_INTRODUCTION, _table(("command", ""), rows), "## Exit statuses\n"]
    parts.append(_table(("status", ""), [(str(each), EXIT_STATUS[each]) for each in EXIT_STATUS]))
    for command in _commands(parser):
        parts += [f"{'#' * command.prog.count(' ')}# `{command.prog}`\n", *_command(command)]
    return "\n".join(parts)


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The commands below a parser, and those below them."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command
                yield from _commands(command)


def _command(command: argparse.ArgumentParser) -> Iterator[str]:
    if command.description:
        yield f"{_text(command.description.partition(_LAID_OUT)[0])}\n"
    rows = [
        (_name(action), _text((action.help or "") % (vars(action) | {"prog": command.prog})))
        for action in command._actions
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
    ]
    if rows:
        yield _table(("", ""), rows)


def _name(action: argparse.Action) -> str:
    value = _value(action)
    if not action.option_strings:
        return f"`{value}`"
    name = ", ".join(action.option_strings)
    shown = f"`{name} {value}`" if value else f"`{name}`"
    return f"{shown} (required)" if action.required else shown


def _value(action: argparse.Action) -> str:
    """How a value is named, and how many there may be."""
    if action.nargs == 0:
        return ""
    name = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if action.choices is not None and action.metavar is None:
        name = "{" + ",".join(map(str, action.choices)) + "}"
    forms = {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} ..."}
    return forms.get(str(action.nargs), str(name))


def _table(header: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [header, ("---", "---"), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _text(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    for variable in ("PORT", "REDIS_URL"):
        os.environ.pop(variable, None)  # they stand for options
    PAGE.write_text(page())
