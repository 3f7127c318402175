"""What keeps the code in its rooms, beyond the import contracts that `make lint` checks."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli.app import ENTRIES

PROJECT = Path(__file__).parents[1]
PACKAGES = ["deploy", "model", "service", "training"]
DOCUMENTS = sorted(
    [PROJECT / "README.md", *PROJECT.glob("docs/**/*.md"), PROJECT / "client/README.md"]
)
HEAVY = ["torch", "scipy", "sklearn", "polars", "pandas", "onnx"]


def test_no_module_is_over_600_lines() -> None:
    modules = [
        path
        for package in [*PACKAGES, "client", "tests"]
        for path in PROJECT.glob(f"{package}/**/*.py")
    ]
    lengths = {path.relative_to(PROJECT): len(path.read_text().splitlines()) for path in modules}
    assert len(lengths) > 50
    assert {path: length for path, length in lengths.items() if length > 600} == {}


def test_no_room_is_named_after_nothing() -> None:
    banned = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
    names = {path.stem for package in PACKAGES for path in PROJECT.glob(f"{package}/**/*")}
    assert names & banned == set()


@pytest.mark.parametrize(
    "module",
    [
        "service.app",
        "model.artifact.files",
        "training.publish",
        "deploy.local.launcher",
        "deploy.cli.app",
        "deploy.cli.ask",
        "deploy.cli.operate",
        "training.cli.options",
        "training.publish.command",
    ],
)
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(sys.modules.keys() & set({HEAVY})))"
    loaded = subprocess.check_output([sys.executable, "-c", code], cwd=PROJECT, text=True)
    assert loaded.split() == []


def documented(pattern: str) -> set[str]:
    return {
        match
        for document in DOCUMENTS
        for match in re.findall(pattern, document.read_text(), re.MULTILINE)
    }


def test_documents_name_real_make_targets() -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert documented(r"(?:^|`)make ([a-z0-9]+)") <= targets


def test_documents_name_real_modules() -> None:
    for module in documented(r"python -m ((?:deploy|model|service|training)[\w.]*)"):
        path = PROJECT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_documents_name_real_commands() -> None:
    names = {*ENTRIES, "COMMAND"}
    assert documented(r"(?:^|`|bin/)magnet ([a-zA-Z]+(?:-[a-z]+)*)") <= names


def test_documents_link_to_real_files() -> None:
    for document in DOCUMENTS:
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name} links to {link}"
