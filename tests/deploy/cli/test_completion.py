"""Shells complete commands, options and values by the printed script."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli.app import main

PROJECT = Path(__file__).parents[3]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_one_that_the_shell_can_read(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert f"_MAGNET_COMPLETE={shell}_complete" in text
    if shutil.which(shell) is not None:
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["rec"], "recommend"),
        (["keys", "l"], "list"),
        (["models", "--red"], "--redis-url"),
        (["completion", "z"], "zsh"),
    ],
)
def test_bash_completes(typed: list[str], offered: str, tmp_path: Path, capsys) -> None:
    program = tmp_path / "magnet"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m deploy.cli "$@"\n')
    program.chmod(0o755)
    assert main(["completion", "bash"]) == 0
    words = " ".join(["magnet", *typed])
    ask = (
        f"\nCOMP_WORDS=({words}); COMP_CWORD={len(typed)}\n"
        '"$(complete -p magnet | sed -E "s/.* -F ([^ ]+) .*/\\1/")" magnet\n'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash"],
        input=capsys.readouterr().out + ask,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert offered in done.stdout.split(), done.stdout + done.stderr


def test_names_are_completed_without_loading_what_they_need() -> None:
    code = "import sys\nfrom deploy.cli.app import main\nmain()\n"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code],
        env=os.environ
        | {"_MAGNET_COMPLETE": "bash_complete", "COMP_WORDS": "magnet f"}
        | {"COMP_CWORD": "1"},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert {line.split(",")[-1] for line in done.stdout.splitlines()} == {"fit", "faithfulness"}
    assert "torch" not in done.stderr
    assert "polars" not in done.stderr
