"""JSON as programs write it: two values of one name, and objects that are Python."""

import json
from pathlib import Path

import polars as pl
import pytest

from deploy.cli.app import main

CHOSEN = [(f"u{row % 6}", f"p{7 * row % 11}", 1 + row % 5) for row in range(60)]


@pytest.fixture
def written(tmp_path: Path):
    """Imports lines as `events.json`, which must succeed: the interactions."""

    def run(lines: list[str], *options: str) -> pl.DataFrame:
        (tmp_path / "events.json").write_text("\n".join(lines))
        out = tmp_path / "out"
        assert main(["import", str(tmp_path / "events.json"), "--out", str(out), *options]) == 0
        return pl.read_csv(next(out.glob("*.inter")), separator="\t", infer_schema=False)

    return run


def test_two_values_of_one_name_cost_the_row(written, tmp_path: Path) -> None:
    lines = [f'{{"user": "{u}", "item": "{i}", "rating": {r}}}' for u, i, r in CHOSEN]
    lines[3] = '{"user": "u1", "item": "p1", "item": "p2", "rating": 2}'
    lines[4] = '{"user": "u1", "item": "p99", "item": "p99", "rating": 2, "note": 1, "note": 2}'
    assert len(written(lines)) == 59
    rejected = pl.read_csv(tmp_path / "out" / "rejects.csv")
    assert rejected.rows() == [("events.json", 4, "two values of one name", 'item: "p1", "p2"')]


def test_two_values_of_a_name_within_an_object(written, tmp_path: Path) -> None:
    lines = [f'{{"user": {{"id": "{u}"}}, "item": "{i}"}}' for u, i, _ in CHOSEN]
    lines[3] = '{"user": {"id": "a"}, "user": {"id": "b"}, "item": "p1"}'
    lines[4] = '{"user": {"id": "a", "id": "b"}, "item": "p1"}'
    assert len(written(lines)) == 58
    rejected = pl.read_csv(tmp_path / "out" / "rejects.csv")
    assert rejected["reason"].to_list() == 2 * ["two values of one name"]


def test_objects_as_python_prints_them(written) -> None:
    """Amazon's reviews until 2014, and Steam's, whose names begin with u."""
    rows = [
        {"asin": i, "reviewerID": u, "name": "O'Neil", "overall": float(r), "helpful": [0, None]}
        for u, i, r in CHOSEN
    ]
    of_json = written([json.dumps(row) for row in rows])
    assert len(of_json) == 60
    assert written([repr(row) for row in rows], "--force").equals(of_json)
    marked = [repr(row).replace("{'", "{u'").replace(", '", ", u'") for row in rows]
    assert written(marked, "--force").equals(of_json)


@pytest.mark.parametrize(
    "line",
    [
        "{'user': __import__('os').getcwd(), 'item': 'p1'}",
        "{'user': 'u1', 'item': f'{1}'}",
        "{'user': " + 10_000 * "[" + "}",
        "{'user': 'u1', 'item': 'p1'",
    ],
)
def test_python_that_is_no_object_is_rejected(written, tmp_path: Path, line: str) -> None:
    lines = [repr({"user": u, "item": i}) for u, i, _ in CHOSEN]
    assert len(written([*lines, line])) == 60
    rejected = pl.read_csv(tmp_path / "out" / "rejects.csv")
    assert rejected["reason"].to_list() == ["not a JSON object"]


def test_a_list_as_python_prints_it_is_told(tmp_path: Path, capsys) -> None:
    path = tmp_path / "events.json"
    path.write_text(repr([{"user": u, "item": i} for u, i, _ in CHOSEN]))
    assert main(["import", str(path), "--out", str(tmp_path / "out")]) == 1
    assert "write one object on each line, or JSON" in capsys.readouterr().err
