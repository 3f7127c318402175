"""Commands that stand in sentences exist, and so do the words that blocks of commands begin with.

Commands of this project in blocks: test_commands.py.
"""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from deploy.cli import VERSION
from deploy.cli.app import magnet
from tests.docs.test_commands import PAGES, PROJECT, SHOWN

BLOCK = re.compile(r"```(\w*)[^\n]*\n(.*?)```", re.DOTALL)
EXTRAS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
CHECKED_ELSEWHERE = {
    "magnet": "tests/docs/test_commands.py",
    "python": "tests/docs/test_commands.py",
    "make": "tests/docs/test_commands.py",
    "curl": "tests/service/api/test_documented_commands.py",
    "printf": "tests/service/api/test_documented_commands.py",
    "npm": "tests/service/api/client/test_typescript.py",
    "cd": "tests/service/api/client/test_typescript.py",
    "head": "tests/deploy/test_tutorial.py",
    "cat": "tests/deploy/test_tutorial.py",
    "ACL": "tests/deploy/test_redis.py",
    "/cron/bin/yacron": "tests/deploy/test_cron.py",
    "cp": "of the system, before a command that is checked",
    "source": "of the shell, after `make setup`",
    "kubectl": "needs a cluster; the manifests: tests/deploy/test_kubernetes.py",
}


def in_sentences() -> Iterator[tuple[str, str]]:
    """Page and command, for all that stands between backticks."""
    for page in PAGES:
        for code in re.findall(r"`([^`]+)`", BLOCK.sub("", page.read_text())):
            command = re.sub(r"^(?:[A-Z_]+=\S+ +)+", "", " ".join(code.split()))
            if command.startswith(("magnet ", "make ")):
                yield page.name, command


NAMED = sorted(set(in_sentences()))


def names_what_there_is(command: click.Command, typed: list[str]) -> bool:
    """Whether subcommands and options exist; what they are given may be left out in a sentence."""
    for place, word in enumerate(typed):
        if word == "--":
            return True
        if isinstance(command, click.Group) and re.fullmatch(r"[a-z][a-z-]*", word):
            below = command.get_command(click.Context(command), word)
            return below is not None and names_what_there_is(below, typed[place + 1 :])
        known = {name for each in command.params for name in [*each.opts, *each.secondary_opts]}
        if word.startswith("--") and word not in known | {"--help"}:
            return False
    return True


@pytest.mark.parametrize(("page", "command"), [x for x in NAMED if x[1].startswith("magnet ")])
def test_it_exists(page: str, command: str) -> None:
    typed = shlex.split(re.sub(r"[\[\]]", " ", command.removeprefix("magnet ")))
    assert names_what_there_is(magnet, typed), command


def test_what_does_not_exist_is_found() -> None:
    assert len(NAMED) > 100
    for wrong in ("ratrain", "fit --epoch 3", "events darin --config x", "keys new --skope read"):
        assert not names_what_there_is(magnet, wrong.split()), wrong


@pytest.mark.parametrize(
    ("page", "command"), [x for x in [*NAMED, *SHOWN] if x[1].startswith("make ")]
)
def test_it_is_a_target(page: str, command: str) -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = [word for word in shlex.split(command)[1:] if "=" not in word]
    assert set(named) <= targets


def others() -> Iterator[tuple[str, str]]:
    """Page and command of blocks that are commands of a shell."""
    for page in PAGES:
        if page.parent.name == "adr":
            continue
        for language, block in BLOCK.findall(page.read_text()):
            if language in {"sh", "console"}:
                text = re.sub(r"<<'END'\n.*?\nEND$", "", block, flags=re.DOTALL | re.MULTILINE)
                joined = r"\\\n *|(?<=\|)\n|\n +(?=[\[-])|'[^']*'"
                for line in re.sub(joined, " ", text).splitlines():
                    for each in re.sub(r"(^| )#.*", "", line).split(" && "):
                        yield page.name, re.sub(r"^(?:[A-Z_]+=\S+ +)+", "", each.strip())


OTHERS = sorted({(page, command) for page, command in others() if command})


@pytest.mark.parametrize(("page", "command"), OTHERS)
def test_somebody_checks_it(page: str, command: str) -> None:
    word = command.split()[0]
    assert word in CHECKED_ELSEWHERE or word in {"pip", "docker"}, f"nobody tries `{command}`"
    file = CHECKED_ELSEWHERE.get(word, "")
    assert not file.startswith("tests/") or (PROJECT / file).exists()


def test_what_is_installed_exists() -> None:
    texts = [page.read_text() for page in PAGES if page.parent.name != "adr"]
    typed = [each for text in texts for each in re.findall(r"pip install (.*?)(?:`|\n|$)", text)]
    assert len(typed) > 5
    for each in typed:
        for names in re.findall(r"\[([\w,]+)\]", each):
            assert set(names.split(",")) <= EXTRAS.keys(), each
        for version in re.findall(r"magnet_recommender-([\d.]+)-", each):
            assert version == VERSION, each
        for path in re.findall(r"(?<![\w'])\./(\S+)", each):
            assert (PROJECT / path / "pyproject.toml").exists(), each


def test_images_are_built_from_stages_that_exist() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", (PROJECT / "Dockerfile").read_text(), re.M))
    files = [*PAGES, PROJECT / "deploy" / "release.sh", PROJECT / "Dockerfile"]
    built = [
        stage
        for file in files
        for stage in re.findall(r"docker build --target ([a-z]+)", Path(file).read_text())
    ]
    assert len(built) >= 4
    assert set(built) <= stages


def test_what_the_code_advises_works_without_a_checkout() -> None:
    code = [
        path
        for package in ("service", "model", "training", "deploy")
        for path in (PROJECT / package).rglob("*.py")
    ]
    assert len(code) > 200
    assert [path for path in code if "pip install -e" in path.read_text()] == []
