"""The summary: figures that can be counted by hand, in text, in HTML and as JSON."""

import json
from pathlib import Path

import pytest

from deploy.cli.app import main
from training.ingest.summary import summary_page, summary_text

ROWS = ["u,i,5", "u,j,4", "u,k,1", "v,i,5", "v,i,4", "<script>,i,bad & <b>worse</b>"]


@pytest.fixture
def summary(tmp_path: Path, imported):
    (tmp_path / "x.csv").write_text("\n".join(["user,item,rating", *ROWS, ""]))
    return imported("x.csv", rating="rating")


def test_its_figures(summary) -> None:
    assert (summary.users, summary.items, summary.interactions.kept) == (2, 3, 4)
    assert summary.density == pytest.approx(4 / 6)
    assert summary.per_user.model_dump() == {"least": 1, "median": 2.0, "most": 3}
    assert summary.per_item.model_dump() == {"least": 1, "median": 1.0, "most": 2}
    assert summary.top_items == {1: 0.5, 10: 0.5, 20: 0.5, 50: 0.75}
    assert summary.values == {"1": 1, "4": 2, "5": 1}
    assert (summary.like_from, summary.likes) == (4.0, 3)
    assert summary.months is None


def test_a_slip_in_one_rating_does_not_move_the_scale(tmp_path: Path, imported) -> None:
    rows = [f"u{n},i{n % 7},{n % 5 + 1}" for n in range(200)]
    (tmp_path / "x.csv").write_text("\n".join(["user,item,rating", *rows, "w,i0,55", ""]))
    summary = imported("x.csv", rating="rating")
    assert (summary.like_from, summary.likes) == (4.0, 81)
    text = summary_text(summary, Path("shop"))
    assert "1 have a rating above 5, taken for the scale's top" in text
    assert "above the scale" in summary_page(summary)


def test_the_text(summary) -> None:
    text = summary_text(summary, Path("shop"))
    assert "2 users, 3 items, 4 interactions (66.67% of all pairs)" in text
    assert "1 merged with another row of the same user and item" in text
    assert "1 rejected, see shop/rejects.csv" in text
    assert "3 are likes (from 4 on)" in text


def test_the_page_shows_what_was_in_the_file_as_text(summary) -> None:
    page = summary_page(summary)
    assert "bad &amp; &lt;b&gt;worse&lt;/b&gt;" in page
    assert "<b>" not in page
    assert "<script" not in page


def test_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.csv").write_text("user,item,at\nu,i,2024-01-05\nu,j,2024-02-05\n")
    assert main(["import", str(tmp_path / "x.csv"), "--out", str(tmp_path / "out"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["months"] == {"2024-01": 1, "2024-02": 1}
    assert said["likes"] == 2
    assert said == json.loads((tmp_path / "out" / "import.json").read_text())
