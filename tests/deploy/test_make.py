"""The commands a newcomer types."""

import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder, with a space in its name, that holds the Makefile only."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copy(PROJECT / "Makefile", folder)
    return folder


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_make_alone_lists_the_commands(checkout: Path) -> None:
    listed = {line.split()[1] for line in make(checkout).stdout.splitlines()}
    everyday = {
        "help",
        "run",
        "retrain",
        "setup",
        "install",
        "test",
        "check",
        "lint",
        "format",
        "clean",
    }
    more = {
        "e2e",
        "messy",
        "stateful",
        "kill",
        "cron",
        "month",
        "rehearse",
        "up",
        "benchmark",
        "bench",
        "audit",
        "sbom",
        "docs",
    }
    assert listed == everyday | more


@pytest.mark.parametrize(
    ("python", "advice"),
    [("", "install python3.11"), ("python2", "install python3.11"), ("old", "install python3.11")],
)
def test_a_missing_or_old_python_is_explained(checkout: Path, python: str, advice: str) -> None:
    if python == "old":
        script = checkout.parent / "python3.9"
        script.write_text("#!/bin/sh\nexit 1\n")
        script.chmod(0o755)
        python = str(script)
    done = make(checkout, "run", f"PYTHON={python}")
    assert done.returncode != 0
    assert advice in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_without_venv_is_explained(checkout: Path) -> None:
    script = checkout.parent / "python-without-venv"
    script.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n')
    script.chmod(0o755)
    done = make(checkout, "run", f"PYTHON={script}")
    assert done.returncode != 0
    assert "python3-venv" in done.stderr
