"""The page that `report` writes."""

import re
from pathlib import Path

import pytest

from model.contract.artifact import read_artifact
from training.cli import main


def test_it_draws_an_artifact(artifact_dir: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / "tiny.html"
    assert main(["report", str(artifact_dir), "--users", "20", "--out", str(page)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    text = page.read_text()
    manifest = read_artifact(artifact_dir).manifest
    assert manifest.model_version in text
    assert text.count("<svg") == 3 + 1 + len(manifest.modalities)
    assert text.count("<circle") == manifest.num_items * len(manifest.modalities)
    assert all(expert.name.replace("_", " ") in text for expert in manifest.experts)
    assert re.findall(r"(?:src|href)=|https?://|url\(", text) == []


@pytest.mark.parametrize("users", ["0", "many"])
def test_a_number_that_is_none_is_refused(users: str, artifact_dir: Path, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(artifact_dir), "--users", users])
    assert "--users: expected a whole number from 1 on" in capsys.readouterr().err


def test_a_folder_that_is_no_artifact_is_named(tmp_path: Path, capsys) -> None:
    assert main(["report", str(tmp_path)]) == 1
    assert f"{tmp_path} is not an artifact" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
