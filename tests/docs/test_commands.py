"""Every command of the documentation is one that its program takes, with the options shown.

What asks a service is run by tests/service/api/test_documented_commands.py, and the tutorial by
tests/training/ingest/test_own_data_document.py.
"""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cli.app import COMMANDS as MAGNET
from training.cli.app import COMMANDS, command_parser

PROJECT = Path(__file__).parents[2]
PAGES = sorted(
    [*PROJECT.glob("docs/**/*.md"), *PROJECT.glob("*.md"), PROJECT / "client" / "README.md"]
)
PROGRAMS = {"magnet": MAGNET, "python -m training": COMMANDS}
MODULE = re.compile(r"python -m ((?:deploy|service)[\w.]*) ?")


def shown() -> Iterator[tuple[str, str]]:
    """Page and command line: of blocks, a line each; continued lines are one."""
    for page in PAGES:
        for language, block in re.findall(r"```(\w*)[^\n]*\n(.*?)```", page.read_text(), re.S):
            if language not in {"", "sh", "console"}:
                continue
            for line in re.sub(r"\\?\n +(?=[\[-])", " ", block).splitlines():
                command = re.sub(r"^(?:[A-Z_]+=\S+ +)+", "", line)
                if command.startswith((*PROGRAMS, "python -m ", "uvicorn", "make ")):
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


@pytest.mark.parametrize(
    ("page", "command"), [x for x in SHOWN if x[1].startswith((*PROGRAMS,)) and not _is_form(x[1])]
)
def test_its_parser_takes_it(page: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")  # as the pages say that it is set
    program = next(name for name in PROGRAMS if command.startswith(name))
    arguments = words(command.removeprefix(program))
    parser = command_parser(argparse.ArgumentParser(), PROGRAMS[program], chosen=arguments[0])
    options = parser.parse_args(arguments)
    assert options.run


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


@pytest.mark.parametrize(
    ("page", "command"), [x for x in SHOWN if x[1].startswith("uvicorn")], ids=lambda x: x[:40]
)
def test_uvicorn_knows_its_options(page: str, command: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "uvicorn", "--help"], capture_output=True, text=True, check=True
    ).stdout
    used = {word for word in shlex.split(command) if word.startswith("--")}
    assert "service.app:create_app" in command
    assert used <= set(re.findall(r"--[a-z-]+", told))


def test_all_kinds_of_commands_are_found() -> None:
    kinds = {command.split()[0] for _, command in SHOWN}
    assert kinds == {"magnet", "python", "uvicorn", "make"}
    assert len(SHOWN) > 40
