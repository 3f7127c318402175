"""Every command of the documentation is one that its program takes, with the options shown.

What asks a service is run by tests/service/api/test_documented_commands.py, and the tutorial by
tests/training/ingest/test_own_data_document.py.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from deploy.cli.app import magnet

PROJECT = Path(__file__).parents[2]
PAGES = sorted(
    [*PROJECT.glob("docs/**/*.md"), *PROJECT.glob("*.md"), PROJECT / "client" / "README.md"]
)
MODULE = re.compile(r"python -m ((?:deploy|service)[\w.]*) ?")


def shown() -> Iterator[tuple[str, str]]:
    """Page and command line: of blocks, a line each; continued lines are one."""
    for page in PAGES:
        for language, block in re.findall(r"```(\w*)[^\n]*\n(.*?)```", page.read_text(), re.S):
            if language not in {"", "sh", "console"}:
                continue
            for line in re.sub(r"\\?\n +(?=[\[-])", " ", block).splitlines():
                command = re.sub(r"^(?:[A-Z_]+=\S+ +)+", "", line)
                if command.startswith(("magnet ", "python -m ", "make ")):
                    yield page.name, re.sub(r" +#.*| *>.*", "", command)


SHOWN = sorted(set(shown()))


def words(text: str) -> list[str]:
    """What is typed: of a synopsis, all that may be; of alternatives, the first."""
    text = re.sub(r"\[(\S+ )?\[\w+\]\]", lambda found: (found[1] or "").strip(), text)
    text = re.sub(r"\[([^]|]*?)(?: \|[^]]*)?\]", r"\1", text)
    return shlex.split(text)


def _is_form(command: str) -> bool:
    """Whether it stands for many commands."""
    return not {"...", "COMMAND"}.isdisjoint(words(command))


def parsed(command: click.Command, arguments: list[str], parent: click.Context | None) -> None:
    """click.ClickException if the command does not take the arguments."""
    with command.make_context("magnet", arguments, parent=parent) as context:
        if isinstance(command, click.Group):
            typed = [*context._protected_args, *context.args]
            _, below, rest = command.resolve_command(context, typed)
            assert below is not None
            parsed(below, rest, context)


@pytest.mark.parametrize(
    ("page", "command"), [x for x in SHOWN if x[1].startswith("magnet ") and not _is_form(x[1])]
)
def test_its_command_takes_it(page: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")  # as the pages say that it is set
    parsed(magnet, words(command.removeprefix("magnet ")), None)


@pytest.mark.parametrize(
    ("page", "command"), [x for x in SHOWN if MODULE.match(x[1])], ids=lambda x: x[:40]
)
def test_its_help_names_its_options(page: str, command: str) -> None:
    found = MODULE.match(command)
    assert found is not None
    action = [word for word in words(command[found.end() :])[:1] if word.isalpha()]
    told = subprocess.run(
        [sys.executable, "-m", found[1], *action, "--help"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    used = {word for word in words(command[found.end() :]) if word.startswith("--")}
    assert used <= set(re.findall(r"--[a-z-]+", told))


def test_all_kinds_of_commands_are_found() -> None:
    kinds = {command.split()[0] for _, command in SHOWN}
    assert kinds == {"magnet", "python", "make"}
    assert len(SHOWN) > 40


def test_nobody_is_told_to_type_an_old_name() -> None:
    old = re.compile(r"python -m (?:training\b|service\.keys|service\.auth\.cli)")
    suffixes = {".md", ".yml", ".yaml", ".toml", ".py", ".sh", ".json", ""}
    places = ["README.md", "Makefile", "Dockerfile", "docker-compose.yml", "docs", "deploy"]
    files = [
        file
        for place in [*places, "service", "training", "model", "client"]
        for file in [PROJECT / place, *(PROJECT / place).rglob("*")]
        if file.is_file() and file.suffix in suffixes
    ]
    history = {PROJECT / "docs" / "research-log.md", *(PROJECT / "docs" / "adr").glob("*")}
    told = [file for file in files if old.search(file.read_text(errors="replace"))]
    assert set(told) - history == set()
