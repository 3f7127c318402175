"""What is published holds what is needed to run, and nothing else. `make release` installs it."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from deploy.cli import VERSION
from magnet_client.version import VERSION as CLIENT_VERSION

PROJECT = Path(__file__).parents[2]
CODE = ("service", "model", "training", "deploy/cli", "deploy/local")
"""Folders of the product that a wheel holds; of others, the files below."""
FILES = {"deploy/__init__.py", "deploy/retrain.toml"}


def tracked(*places: str) -> set[str]:
    listed = subprocess.check_output(["git", "ls-files", *places], cwd=PROJECT, text=True)
    return {line for line in listed.splitlines() if (PROJECT / line).exists()}


def metadata(wheel: zipfile.ZipFile) -> Message:
    (path,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    return Parser().parsestr(wheel.read(path).decode())


def contents(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_code_and_what_it_reads(wheel: zipfile.ZipFile) -> None:
    if not (PROJECT / ".git").exists():
        pytest.skip("needs a git checkout, to know what belongs to it")
    assert contents(wheel) == tracked(*CODE) | FILES
    assert {"service/web/index.html", "service/web/terms.json"} <= contents(wheel)


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    about = metadata(wheel)
    assert about["Name"] == "magnet-recommender"
    assert about["License-Expression"] == "Apache-2.0"
    assert {"service", "training", "local", "encoders", "large"} <= set(
        about.get_all("Provides-Extra", [])
    )
    (scripts,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert b"magnet = deploy.cli.app:main" in wheel.read(scripts)
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_the_client_is_a_package_of_its_own(distributions: Path) -> None:
    with zipfile.ZipFile(
        distributions / f"magnet_client-{CLIENT_VERSION}-py3-none-any.whl"
    ) as wheel:
        assert {Path(name).parts[0] for name in contents(wheel)} == {"magnet_client"}
        assert "magnet_client/py.typed" in contents(wheel)
        assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
    assert (PROJECT / "client" / "LICENSE").read_text() == (PROJECT / "LICENSE").read_text()


def test_one_release_has_one_version() -> None:
    assert CLIENT_VERSION == VERSION


def test_the_source_builds_and_tests_itself(distributions: Path) -> None:
    with tarfile.open(distributions / f"magnet_recommender-{VERSION}.tar.gz") as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "docs/openapi.json"} <= names
    assert {"tests/conftest.py", "client/pyproject.toml", "deploy/redis/redis.conf"} <= names
    strays = {name for name in names if Path(name).suffix in {".pyc", ".whl", ".gz"}}
    assert strays == set()
    assert {name for name in names if name.startswith((".venv", ".magnet", "dist"))} == set()


def run_from(unpacked: Path, folder: Path, *words: str) -> str:
    """What a command prints that finds the unpacked wheel, and nothing else of the project."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env["PYTHONPATH"] = str(unpacked)
    command = [sys.executable, "-P", *words]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


LOAD = """
import json, sys
from deploy import PROJECT, workspace_folder
from deploy.cli.app import magnet
for name in ("recommend", "run", "serve", "keys"):
    assert magnet.get_command(None, name) is not None
names = ("service", "model", "training", "deploy")
ours = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] in names]
print(json.dumps([str(PROJECT), str(workspace_folder()), ours]))
"""


def test_commands_run_from_the_wheel_whatever_lies_in_the_working_folder(
    unpacked: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.py").write_text("raise SystemExit('a file of the user, not ours')")
    told = json.loads(run_from(unpacked, tmp_path, "-c", LOAD))
    project, workspace, files = told
    assert (project, workspace) == (str(unpacked), str(tmp_path / ".magnet"))
    assert len(files) > 40
    assert [file for file in files if not file.startswith(str(unpacked))] == []
    said = run_from(unpacked, tmp_path, "-m", "deploy.cli", "--version")
    assert said == f"magnet {VERSION}\n"
