"""The commands a newcomer types."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.cli import VERSION

PROJECT = Path(__file__).parents[2]
Release = Callable[[], subprocess.CompletedProcess[str]]


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
        "ray",
        "month",
        "rehearse",
        "up",
        "benchmark",
        "bench",
        "scale",
        "audit",
        "sbom",
        "docs",
        "release",
    }
    assert listed == everyday | more


@pytest.mark.parametrize(
    ("given", "command"),
    [([], "magnet run \n"), (["DATA=my films"], "magnet run --data 'my films'\n")],
)
def test_data_of_ones_own_can_be_run(checkout: Path, given: list[str], command: str) -> None:
    for name in ("pyproject.toml", "constraints.txt", "client/pyproject.toml"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).touch()
    done = make(checkout, "--dry-run", "run", *given)
    assert done.stdout.endswith(f"exec .venv/bin/{command}")


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


@pytest.fixture
def pip(checkout: Path) -> Callable[[int], None]:
    """Put a pip into the checkout's environment that installs torch in words, then exits so."""
    for name in ("pyproject.toml", "constraints.txt", "client/pyproject.toml", ".venv/bin/.made"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    python = checkout / ".venv" / "bin" / "python"
    words = "Collecting torch==2.9.1 (from x)\n  Using cached x\nInstalling collected packages: x"

    def ending(status: int) -> None:
        python.write_text(f"#!/bin/sh\nprintf '{words}\n'\nexit {status}\n")
        python.chmod(0o755)

    return ending


def test_an_installation_says_what_it_is_at(checkout: Path, pip) -> None:
    pip(0)
    done = make(checkout, "setup")
    assert done.returncode == 0, done.stderr
    assert "  torch==2.9.1\n  unpacking all of them, which takes longest\n" in done.stdout
    assert "cached" not in done.stdout


def test_an_installation_that_fails_is_not_taken_for_done(checkout: Path, pip) -> None:
    pip(1)
    assert make(checkout, "setup").returncode != 0
    assert not (checkout / ".venv/bin/.runtime").exists()


@pytest.fixture
def release_of(tmp_path: Path) -> Release:
    """Start a release in a small repository that is as it should be; it never gets to building."""
    for name in ("deploy/release.sh", "deploy/cli/__init__.py", "client/magnet_client/version.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {VERSION} (2026-11-30)\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "one")

    def release() -> subprocess.CompletedProcess[str]:
        env = os.environ | {"PYTHON": "false", "SKIP_TESTS": "this is one"}
        command = ["sh", "deploy/release.sh"]
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )

    return release


def git(folder: Path, *words: str) -> None:
    named = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run(["git", *named, *words], cwd=folder, check=True)


def test_a_release_that_is_in_order_gets_to_building(release_of: Release, tmp_path: Path) -> None:
    git(tmp_path, "tag", f"v{VERSION}")
    done = release_of()
    assert (done.returncode, done.stderr) == (1, "")  # `false` builds nothing


def test_a_release_of_something_else_than_the_commit(release_of: Release, tmp_path: Path) -> None:
    (tmp_path / "stray.py").touch()
    assert "the working tree is not clean" in release_of().stderr


def test_a_release_without_its_changes(release_of: Release, tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n")
    git(tmp_path, "commit", "--quiet", "--all", "--message", "two")
    assert f"CHANGELOG.md has no section '## {VERSION}'" in release_of().stderr


def test_what_a_release_lacks_is_told_before_anything_is_installed(
    release_of: Release, tmp_path: Path
) -> None:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    done = make(tmp_path, "release")
    assert "the working tree is not clean" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_release_of_two_versions(release_of: Release, tmp_path: Path) -> None:
    (tmp_path / "client/magnet_client/version.py").write_text('VERSION = "9.9.9"\n')
    assert "the client's version is 9.9.9" in release_of().stderr


def test_a_version_that_was_released_before(release_of: Release, tmp_path: Path) -> None:
    git(tmp_path, "tag", f"v{VERSION}")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "two")
    assert f"the tag v{VERSION} is on another commit: raise VERSION" in release_of().stderr
