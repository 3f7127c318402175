"""The one command as a new user meets it."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli.app import COMMANDS, MEANT, main
from training.cli.app import COMMANDS as OFFLINE

PROJECT = Path(__file__).parents[3]


def magnet(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


def test_help_lists_every_command() -> None:
    done = magnet("--help")
    assert done.returncode == 0
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")]
    assert {command.name for command in COMMANDS} <= set(listed)
    assert set(OFFLINE) < set(COMMANDS)


def test_nothing_typed_shows_what_there_is_to_type() -> None:
    done = magnet()
    assert done.returncode == 2
    assert done.stderr == magnet("--help").stdout


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help(command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command.name, "--help"])
    assert stopped.value.code == 0
    assert f"usage: magnet {command.name}" in capsys.readouterr().out


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys\nfrom deploy.cli.app import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'polars', 'fastapi', 'onnxruntime', 'httpx2', 'redis', 'rich'}\n"
        "sys.stderr.write(f'loaded {sorted(heavy & sys.modules.keys())}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stderr == "loaded []"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("recomend", "`recommend`"), ("train", "`fit`"), ("serve", "`run`"), ("trian", "`fit`")],
)
def test_a_word_that_is_no_command(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([typed]) == 2
    assert f"there is no command `{typed}`: did you mean {meant}" in capsys.readouterr().err


def test_words_of_other_tools_stand_for_commands() -> None:
    names = {command.name for command in COMMANDS}
    assert set(MEANT.values()) <= names
    assert not set(MEANT) & names


def test_a_command_without_its_arguments() -> None:
    done = magnet("fit", "--data", "somewhere")
    assert done.returncode == 2
    assert "magnet fit: error: the following arguments are required: --out" in done.stderr


def test_keys_are_made_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ["--file", str(tmp_path / "keys.txt")]
    assert main(["keys", "new", "--name", "shop", "--scope", "read", *file]) == 0
    assert main(["keys", "list", *file]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "shop\tread"
    assert main(["keys", "remove", "--name", "nobody", *file]) == 1
    assert "has no key named 'nobody'" in capsys.readouterr().err
