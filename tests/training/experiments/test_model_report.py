"""The page that `report` writes."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from deploy.cli.app import main
from model.artifact.files import read_artifact
from training.export.report import POPULARITY_GROUPS


def test_it_draws_an_artifact(artifact_dir: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / "tiny.html"
    assert main(["report", str(artifact_dir), "--users", "20", "--out", str(page)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    text = page.read_text()
    manifest = read_artifact(artifact_dir).manifest
    assert manifest.model_version in text
    assert text.count('<table class="weights">') == 3
    assert text.count("<svg") == len(manifest.modalities)
    assert text.count("<circle ") == manifest.num_items * len(manifest.modalities)
    assert all(text.count(expert.name.replace("_", " ")) >= 4 for expert in manifest.experts)
    assert "Where each expert leads" in text
    assert text.count(" % of items") == POPULARITY_GROUPS
    assert re.findall(r"(?:src|href)=\"(?!#)|url\(|<script|<link|@import", text) == []
    assert re.findall(r"https?://", text) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_everybody_can_read_it(
    artifact_dir: Path, tmp_path: Path, browser: Browser, scheme: str, width: int
) -> None:
    path = tmp_path / "tiny.html"
    assert main(["report", str(artifact_dir), "--users", "20", "--out", str(path)]) == 0
    complaints: list[str] = []
    with browser.new_context(
        offline=True, color_scheme=scheme, viewport={"width": width, "height": 900}
    ) as context:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.locator(".weights").first.bounding_box()["width"] >= 640
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    assert complaints == []


@pytest.mark.parametrize("users", ["0", "many"])
def test_a_number_that_is_none_is_refused(users: str, artifact_dir: Path, capsys) -> None:
    assert main(["report", str(artifact_dir), "--users", users]) == 2
    said = capsys.readouterr().err
    assert "'--users'" in said
    assert users in said


def test_a_folder_that_is_no_artifact_is_named(tmp_path: Path, capsys) -> None:
    assert main(["report", str(tmp_path)]) == 1
    assert f"{tmp_path} is not an artifact" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
