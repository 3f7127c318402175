"""What the images and the environments are made of is named, licensed and can be pinned."""

import re
import runpy
import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
IMAGE = re.compile(r"(?:^FROM|^ *image:) (\S+:\S+)", re.MULTILINE)
DIGESTS = {"python:3.11-slim": "a" * 64, "valkey/valkey:9-alpine": "b" * 64}


def images(folder: Path) -> list[str]:
    files = ("Dockerfile", "docker-compose.yml")
    return [x for name in files for x in IMAGE.findall((folder / name).read_text())]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that name images, and a docker that knows what their tags mean."""
    (tmp_path / "deploy").mkdir()
    for name in ("Dockerfile", "docker-compose.yml", "deploy/pin-images.sh"):
        shutil.copy(PROJECT / name, tmp_path / name)
    return tmp_path


def pin(folder: Path, digests: dict[str, str]) -> subprocess.CompletedProcess[str]:
    known = "\n".join(f"{name}) echo sha256:{digest} ;;" for name, digest in digests.items())
    docker = folder / "docker"
    docker.write_text(
        f"#!/bin/sh\nfor last; do :; done\ncase $last in\n{known}\n*) exit 1 ;;\nesac\n"
    )
    docker.chmod(0o755)
    command = ["sh", str(folder / "deploy" / "pin-images.sh")]
    env = {"PATH": f"{folder}:/usr/bin:/bin"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_images_can_be_pinned_to_what_their_tags_mean(checkout: Path) -> None:
    before = images(checkout)
    assert len(before) >= 5
    digests = dict.fromkeys(before, "c" * 64) | DIGESTS
    assert pin(checkout, digests).returncode == 0
    assert images(checkout) == [f"{name}@sha256:{digests[name]}" for name in before]
    text = (checkout / "Dockerfile").read_text()
    unpinned = re.sub(r"@sha256:[0-9a-f]{64}", "", text)
    assert unpinned == (PROJECT / "Dockerfile").read_text()
    moved = dict.fromkeys(before, "d" * 64)
    assert pin(checkout, moved).returncode == 0
    assert {x.partition("@")[2] for x in images(checkout)} == {"sha256:" + "d" * 64}


def test_a_registry_that_does_not_answer_pins_nothing(checkout: Path) -> None:
    before = images(checkout)
    assert pin(checkout, {}).returncode != 0
    assert pin(checkout, dict.fromkeys(before, "short")).returncode != 0
    assert images(checkout) == before


def test_the_page_of_licences_is_that_of_the_libraries() -> None:
    written = runpy.run_path(str(PROJECT / "docs" / "list_licences.py"))["page"]()
    path = PROJECT / "docs" / "reference" / "licences.md"
    assert path.read_text() == written, "run: python docs/list_licences.py"


def test_no_library_that_is_shipped_asks_for_the_source_of_the_whole() -> None:
    rows = (PROJECT / "docs" / "reference" / "licences.md").read_text()
    assert "| numpy |" in rows
    assert re.findall(r"^\|.*\bA?GPL.*$", rows, re.MULTILINE) == []


def test_pinned_versions_are_those_that_are_tested() -> None:
    """Otherwise an audit of constraints.txt would be one of something else."""
    versions = runpy.run_path(str(PROJECT / "docs" / "list_licences.py"))["versions"]()
    for name in ("fastapi", "numpy", "onnxruntime", "redis", "uvicorn"):
        assert distribution(name).version == versions[name]


def test_both_images_carry_the_list_of_their_components() -> None:
    text = (PROJECT / "Dockerfile").read_text()
    for target in ("service", "trainer"):
        assert f"FROM {target}-packages AS {target}-components" in text
        assert f"COPY --from={target}-components /sbom.cdx.json ./" in text
    tools = (PROJECT / "deploy" / "supply-requirements.txt").read_text()
    assert re.search(r"^cyclonedx-bom==", tools, re.MULTILINE)
    assert re.search(r"^pip_audit==", tools, re.MULTILINE)
