"""Writes docs/command-line.md from the commands of `magnet` themselves.

python docs/list_commands.py
"""

from collections.abc import Iterator
from pathlib import Path

import click

from deploy.cli.app import EXIT_STATUS, SECTIONS, magnet

PAGE = Path(__file__).parent / "command-line.md"
_LAID_OUT = "\b"
"""What follows in a description is laid out for terminals."""
_INTRODUCTION = """# Command line

Written by `python docs/list_commands.py` from the commands themselves. `magnet` is on the path in
the project's virtual environment (`source .venv/bin/activate`) and in both container images; the
service's image holds `serve`, `status`, `doctor`, `keys` and what says which version is live.
`magnet completion bash` (or zsh, fish) prints what makes a shell complete commands and options.

Progress and messages go to standard error, answers to standard output. An error is one line that
says what is wrong and what to do. Commands whose answer others may want to read have `--json`.
"""


def page() -> str:
    """The whole page."""
    context = click.Context(magnet, info_name="magnet")
    parts = [_INTRODUCTION]
    for title, entries in SECTIONS.items():
        rows = [(f"[`{each.name}`](#magnet-{each.name})", each.summary) for each in entries]
        parts += [f"{title}:\n", _table(("command", ""), rows)]
    parts.append("## Exit statuses\n")
    parts.append(_table(("status", ""), [(str(each), EXIT_STATUS[each]) for each in EXIT_STATUS]))
    for command in _commands(magnet, context):
        parts += [f"{'#' * command.command_path.count(' ')}# `{command.command_path}`\n"]
        parts += _command(command)
    return "\n".join(parts)


def _commands(group: click.Group, context: click.Context) -> Iterator[click.Context]:
    """A context of each command of a group, and of those below it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        below = click.Context(command, info_name=name, parent=context)
        yield below
        if isinstance(command, click.Group):
            yield from _commands(command, below)


def _command(context: click.Context) -> Iterator[str]:
    if context.command.help:
        paragraphs = context.command.help.partition(_LAID_OUT)[0].split("\n\n")
        yield "\n\n".join(map(_text, paragraphs)) + "\n"
    rows = [
        (_name(each, context), _text(_help(each, context)))
        for each in context.command.params
        if not (isinstance(each, click.Option) and each.hidden)
    ]
    if rows:
        yield _table(("", ""), rows)


def _help(parameter: click.Parameter, context: click.Context) -> str:
    text = getattr(parameter, "help", None) or ""
    if isinstance(parameter, click.Option) and parameter.show_default and "[default" not in text:
        text += f"  [default: {parameter.get_default(context)}]"
    return text


def _name(parameter: click.Parameter, context: click.Context) -> str:
    if isinstance(parameter, click.Argument):
        return f"`{parameter.make_metavar(context)}`"
    words = [", ".join(parameter.opts)]
    if not (isinstance(parameter, click.Option) and parameter.is_flag):
        words.append(parameter.make_metavar(context).replace("|", ","))
    return f"`{' '.join(words)}`" + (" (required)" if parameter.required else "")


def _table(header: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [header, ("---", "---"), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _text(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page())
