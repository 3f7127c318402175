"""The `events` commands as they are typed."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from deploy.cli.app import main


@pytest.fixture
def folder(send: Callable[..., None], redis_url: str, tmp_path: Path) -> Path:
    send(*range(30))
    folder = tmp_path / "log"
    assert main(["events", "drain", "--log", str(folder), "--redis-url", redis_url]) == 0
    return folder


def test_drain_and_inspect(
    folder: Path, send: Callable[..., None], redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    send(29, 30)
    assert main(["events", "drain", "--log", str(folder), "--redis-url", redis_url]) == 0
    assert capsys.readouterr().out.startswith("1 new events, 1 known already, 0 rejected")
    assert main(["events", "inspect", "--log", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("31 events of 3 users on 5 items in 3 days")
    assert "2026-01-31          24" in out
    assert main(["events", "inspect", "--log", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["events"], found["users"], found["last_days"]["2026-01-31"]) == (31, 3, 24)


def test_what_followed_the_lists_of_two_models_is_told_apart(
    folder: Path, send: Callable[..., None], redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(1, 6):
        send(100 + number, model_version=f"v{number}", variant="champion")
    send(110, 111, model_version="v5", variant="challenger")
    send(112, model_version="v5", variant="challenger", type="dislike")
    main(["events", "drain", "--log", str(folder), "--redis-url", redis_url])
    capsys.readouterr()
    main(["events", "inspect", "--log", str(folder), "--json"])
    rows = json.loads(capsys.readouterr().out)["last_versions"]
    assert [tuple(row.values()) for row in rows] == [
        ("v2", "champion", "click", 1),
        ("v3", "champion", "click", 1),
        ("v4", "champion", "click", 1),
        ("v5", "challenger", "click", 2),
        ("v5", "challenger", "dislike", 1),
        ("v5", "champion", "click", 1),
    ]
    main(["events", "inspect", "--log", str(folder)])
    assert "v5                          challenger  click                2\n" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_export(suffix: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / f"events.{suffix}"
    days = ["--since", "2026-01-31", "--until", "2026-01-31"]
    assert main(["events", "export", "--log", str(folder), "--out", str(out), *days]) == 0
    if suffix == "jsonl":
        events = [json.loads(line)["event_id"] for line in out.read_text().splitlines()]
    else:
        read = pl.read_parquet if suffix == "parquet" else pl.read_csv
        events = read(out)["event_id"].to_list()
    assert events == [f"e{n}" for n in range(1, 25)]


def test_compact_keeps_within_limits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "compact", "--log", str(folder), "--keep-days", "1"]) == 0
    assert "removed 3 days with 30 events" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "--log", "nowhere"], "--log nowhere: there is no such folder"),
        (["export", "--log", ".", "--out", "x.doc"], "must end in .parquet, .csv, .jsonl"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_an_export_of_a_damaged_log_names_the_file(
    suffix: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = sorted(folder.rglob("*.parquet"))[1]
    part.write_bytes(part.read_bytes()[:-10])
    out = tmp_path / f"events.{suffix}"
    assert main(["events", "export", "--log", str(folder), "--out", str(out)]) == 1
    assert f"error: {part} cannot be read" in capsys.readouterr().err
    assert list(tmp_path.glob("*events.*")) == []


def test_an_export_that_cannot_be_written_says_so(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    out = tmp_path / "taken" / "events.csv"
    assert main(["events", "export", "--log", str(folder), "--out", str(out)]) == 1
    assert f"error: {out}: cannot be written" in capsys.readouterr().err
