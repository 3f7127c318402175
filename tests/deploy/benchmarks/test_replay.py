"""A data folder taken apart by time."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.benchmarks.replay import Replay
from training.data.interactions import read_interactions
from training.data.tables import DataError
from training.retrain.settings import DataSettings

ROWS = [("b", "y", 2, 30), ("a", "x", 5, 10), ("a", "y", 4, 20), ("c", "x", 1, 40)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    lines = ["userID\titemID\trating\ttimestamp", *("\t".join(map(str, row)) for row in ROWS)]
    (folder / "shop.inter").write_text("\n".join(lines) + "\n")
    (folder / "items.tsv").write_text("item_id\nx\ny\n")
    return folder


def test_what_came_first_is_a_data_folder(folder: Path, tmp_path: Path) -> None:
    Replay.of(DataSettings(folder=folder)).write_first(2, tmp_path / "first")
    rows = read_interactions(tmp_path / "first" / "shop.inter")
    assert (rows.user_ids, rows.item_ids) == (["a"], ["x", "y"])
    assert rows.rating_N is not None
    assert rows.rating_N.tolist() == [5, 4]
    assert rows.timestamp_N is not None
    assert rows.timestamp_N.tolist() == [10, 20]
    assert (tmp_path / "first" / "items.tsv").read_text() == "item_id\nx\ny\n"


def test_what_came_then_is_feedback(folder: Path) -> None:
    events = Replay.of(DataSettings(folder=folder)).events(1, 4)
    assert [(x.user_id, x.item_id, x.type) for x in events] == [
        ("a", "y", "like"),
        ("b", "y", "view"),
        ("c", "x", "view"),
    ]
    assert events[0].timestamp == datetime.fromtimestamp(20, UTC)
    assert len({x.event_id for x in events}) == 3


def test_without_ratings_everything_is_liked(tmp_path: Path) -> None:
    (tmp_path / "x.inter").write_text("user_id\titem_id\ttimestamp\na\tx\t5000\n")
    replay = Replay.of(DataSettings(folder=tmp_path, timestamp_unit="ms"))
    (event,) = replay.events(0, 1)
    assert (event.type, event.timestamp) == ("like", datetime.fromtimestamp(5, UTC))
    replay.write_first(1, tmp_path / "first")
    assert (tmp_path / "first" / "x.inter").read_text().splitlines()[1] == "a\tx\t5000.0"


def test_without_times_there_is_no_order(tmp_path: Path) -> None:
    (tmp_path / "x.inter").write_text("user_id\titem_id\na\tx\n")
    with pytest.raises(DataError, match="has no 'timestamp' column"):
        Replay.of(DataSettings(folder=tmp_path))
