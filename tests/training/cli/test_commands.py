"""The list of commands: what is typed wrongly is put right, and help costs nothing."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from training.cli.app import COMMANDS, Command, command_parser, main, run_command

PROJECT = Path(__file__).parents[3]


def test_every_command_says_what_it_does_and_can_be_run() -> None:
    parser = argparse.ArgumentParser()
    command_parser(parser, COMMANDS)
    (action,) = (each for each in parser._actions if each.choices)
    assert isinstance(action.choices, dict)
    for name, command in action.choices.items():
        assert command.description, name
        nested = any(each.choices and not each.option_strings for each in command._actions)
        assert nested or command.get_default("run"), name


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("fitt", "`fit`"), ("bench", "`benchmark`"), ("role-back", "`rollback`"), ("zzz", "--help")],
)
def test_a_misspelt_command(typed: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([typed, "--out", "x"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: there is no command `{typed}`: ")
    assert meant in said


def test_a_library_that_is_not_installed(capsys: pytest.CaptureFixture[str]) -> None:
    command = Command("guess", "guess", "no_such_library.guessing:configure", extras="training")
    assert run_command(argparse.ArgumentParser(), [command], ["guess"]) == 1
    said = capsys.readouterr().err
    assert "`guess` needs no_such_library, which is not installed" in said
    assert "pip install -e '.[training]'" in said


@pytest.mark.parametrize("arguments", [["--help"], ["fitt"], ["models", "--help"]])
def test_nothing_is_loaded_that_is_not_needed(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom training.cli.app import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "loaded = sorted({'torch', 'polars', 'sklearn', 'onnx'} & sys.modules.keys())\n"
        "sys.stderr.write(f'loaded {loaded}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stderr.endswith("loaded []")


def test_evaluate_as_json(
    artifact_dir: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(artifact_dir), "--data", str(tiny_data), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert 0 <= figures["metrics"]["ndcg@20"] <= 1
    assert "tail items" in figures["groups"]
