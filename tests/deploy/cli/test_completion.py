"""Shells complete commands, options and files by the printed script."""

import shutil
import subprocess

import pytest

from deploy.cli.app import COMMANDS, main


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_names_commands_and_options(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script(shell, capsys)
    assert [command.name for command in COMMANDS if command.name not in text] == []
    assert "dry-run" in text
    if shutil.which(shell) is not None:
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [(["rec"], "recommend"), (["retrain", "--dr"], "--dry-run"), (["completion", "z"], "zsh")],
)
def test_bash_completes(typed: list[str], offered: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = " ".join(["magnet", *typed])
    ask = (
        f"\nCOMP_WORDS=({words}); COMP_CWORD={len(typed)}\n"
        '"$(complete -p magnet | sed -E "s/.* -F ([^ ]+) .*/\\1/")" magnet\n'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash"], input=script("bash", capsys) + ask, capture_output=True, text=True, check=True
    )
    assert offered in done.stdout.split(), done.stdout + done.stderr
