"""The documentation is a site whose links hold, and whose reference says what the code does."""

import json
import os
import re
import runpy
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from model.artifact.manifest import ArtifactManifest, expected_tensors
from model.registry.keys import KeySpace

PROJECT = Path(__file__).parents[2]
REFERENCE = PROJECT / "docs" / "reference"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built so that a link that leads nowhere is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_in_it(site: Path) -> None:
    pages = {path.relative_to(PROJECT / "docs") for path in PROJECT.glob("docs/**/*.md")}
    pages.remove(Path("index.md"))
    assert len(pages) > 20
    assert [
        page for page in pages if not (site / page.with_suffix("") / "index.html").exists()
    ] == []


def test_a_page_asks_no_other_host(site: Path) -> None:
    page = (site / "index.html").read_text()
    assert "<script" in page
    assert re.findall(r'(?:src|<link rel="(?!canonical)[^>]*href)="(https?://[^"]+)"', page) == []


def test_the_page_of_the_api_is_that_of_the_service() -> None:
    written = runpy.run_path(str(PROJECT / "docs" / "list_api.py"))["page"]()
    assert (REFERENCE / "api.md").read_text() == written, "run: python docs/list_api.py"


def test_the_page_of_the_commands_is_that_of_their_parsers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("PORT", "REDIS_URL"):
        monkeypatch.delenv(variable, raising=False)
    written = runpy.run_path(str(PROJECT / "docs" / "list_commands.py"))["page"]()
    path = PROJECT / "docs" / "command-line.md"
    assert path.read_text() == written, "run: python docs/list_commands.py"


def test_the_glossary_has_the_words_that_the_page_explains() -> None:
    written = runpy.run_path(str(PROJECT / "docs" / "list_terms.py"))["page"]()
    assert (REFERENCE / "glossary.md").read_text() == written, "run: python docs/list_terms.py"
    sections = json.loads((PROJECT / "service" / "web" / "terms.json").read_text())
    words = [word.lower() for terms in sections.values() for word in terms]
    assert len(words) == len(set(words)), "the page finds a word by its letters, small or not"
    code = "".join(path.read_text() for path in (PROJECT / "service" / "web").glob("*.js"))
    asked = re.findall(r'term\([^()]*"([^"]+)"\)', code)
    assert set(asked) >= {"rules", "score", "modality"}
    assert {word.lower() for word in asked} <= set(words)


def test_every_key_is_listed() -> None:
    text = (REFERENCE / "redis-keys.md").read_text()
    keys = KeySpace()
    listed = {getattr(keys, each.name) for each in fields(keys) if not each.init}
    listed.add(keys.live("<user>"))
    experiment, *_ = keys.experiment("version", datetime.fromtimestamp(0, UTC))
    listed |= {experiment.replace("version:0", "<version>:<started>")}
    assert len(listed) > 10
    assert [key for key in listed if f"`{key}`" not in text] == []
    said = {}
    for names, words in re.findall(r"^\| (`mg:.*?`) \| ([^|]+) \|", text, re.MULTILINE):
        kinds = re.findall(r"sorted set|string|set|hash|stream|counter", words)
        each = re.findall(r"`(.*?)`", names)
        said |= dict(zip(each, kinds * (len(each) // max(1, len(kinds))), strict=False))
    assert {key: said[key].replace("sorted set", "zset") for key in keys.types} == keys.types


def test_every_part_of_an_artifact_is_listed() -> None:
    text = (REFERENCE / "artifact.md").read_text()
    some = ArtifactManifest.model_construct(
        num_users=1, num_items=1, views=[], modalities=[], embedding_dim=1, experts=[]
    )
    names = {*ArtifactManifest.model_fields, *expected_tensors(some), "head.onnx", "explain.onnx"}
    assert [name for name in names if f"`{name}`" not in text] == []


def test_the_picture_of_the_tree_is_that_of_the_packages() -> None:
    written = runpy.run_path(str(PROJECT / "docs" / "draw_tree.py"))["page"]()
    path = PROJECT / "docs" / "architecture.md"
    assert path.read_text() == written, "run: python docs/draw_tree.py"


def test_what_contributors_are_sent_to_exists() -> None:
    named = re.findall(
        r"`((?:service|model|training|deploy|tests|client|docs)/[\w/.]+)`",
        (PROJECT / "docs" / "contributing.md").read_text(),
    )
    assert len(named) > 30
    assert [path for path in named if not (PROJECT / path).exists()] == []
