"""Markdown documents with sections between markers."""

import json
from pathlib import Path

import pytest

from training.reporting.documents import EvaluationProtocol, Outputs, table, update_document


def test_cells_of_a_table_stay_as_they_are():
    lines = table(["model", "R@20"], [["**MAGNET**", "0.1000"], ["a", "+0.1 [0, 1] ahead"]])
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines.splitlines()]
    assert cells[0] == ["model", "R@20"]
    assert set("".join(cells[1])) == {"-"}
    assert cells[2:] == [["**MAGNET**", "0.1000"], ["a", "+0.1 [0, 1] ahead"]]


def test_a_report_goes_to_all_its_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    outputs = Outputs(json=tmp_path / "figures.json", document=tmp_path / "report.md")
    outputs.write("hand-made", "the section", {"ndcg@20": 0.5})
    assert capsys.readouterr().out == "the section\n"
    assert json.loads((tmp_path / "figures.json").read_text()) == {"ndcg@20": 0.5}
    assert "the section" in (tmp_path / "report.md").read_text()


def test_a_document_says_once_how_its_sections_were_measured(tmp_path: Path, capsys):
    outputs = Outputs(document=tmp_path / "report.md")
    for data in ("one", "other"):
        protocol = EvaluationProtocol("study", "how it was measured")
        outputs.write(f"{data} study", f"figures of {data}", {}, protocol)
        assert capsys.readouterr().out == f"figures of {data}\n\nhow it was measured\n"
    text = (tmp_path / "report.md").read_text()
    assert text.count("how it was measured") == 1
    assert text.index("benchmark study protocol") < text.index("figures of one")


def test_a_second_run_replaces_its_own_section_only(tmp_path: Path):
    path = tmp_path / "docs" / "benchmarks.md"
    update_document(path, "hand-made", "the first text")
    path.write_text(path.read_text() + "\nNotes by hand.\n")
    update_document(path, "hand-made", "the second text")
    text = path.read_text()
    assert "the first text" not in text
    assert text.count("the second text") == 1
    assert text.startswith("# Benchmarks\n")
    assert text.endswith("<!-- benchmark hand-made end -->\n\nNotes by hand.\n")


def test_a_section_without_its_end_is_not_guessed_at(tmp_path: Path):
    path = tmp_path / "benchmarks.md"
    path.write_text("<!-- benchmark hand-made start -->\nprecious\n")
    with pytest.raises(ValueError, match="restore it or remove both"):
        update_document(path, "hand-made", "text")
    assert "precious" in path.read_text()
