"""What becomes of a data folder and of events."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from training.data.dataset import load_dataset
from training.data.tables import DataError
from training.feedback.log import EVENTS
from training.retrain.settings import DataSettings, EventSettings
from training.retrain.training_set import Assembled, assemble

EVENT_SETTINGS = EventSettings()
NOW = 1_700_000_000


def events_of(*rows: tuple[str, str, str, int]) -> pl.DataFrame:
    """User, item, type and how many seconds after `NOW`."""
    frame = [
        {
            "event_id": f"e{number}",
            "user_id": user,
            "item_id": item,
            "type": kind,
            "timestamp": datetime.fromtimestamp(NOW + second, UTC),
            "received_at": datetime.fromtimestamp(NOW + 1000, UTC),
        }
        for number, (user, item, kind, second) in enumerate(rows)
    ]
    return pl.DataFrame(frame, schema=EVENTS)


@pytest.fixture
def assembled(tmp_path: Path) -> Callable[..., tuple[Assembled, dict[tuple[str, str], Any]]]:
    """The training set of ten old likes, one old dislike and some events."""
    data = tmp_path / "data"
    data.mkdir()
    lines = [f"a\told{n}\t5\t{n}" for n in range(10)] + ["b\told0\t1\t0"]
    header = "user_id\titem_id\trating\ttimestamp"
    (data / "shop.inter").write_text("\n".join([header, *lines]) + "\n")

    def run(
        *events: tuple[str, str, str, int],
        items: str = "",
        folder: str = "assembled",
        **settings: object,
    ) -> tuple[Assembled, dict]:
        if items:
            (data / "items.tsv").write_text(items)
        out = assemble(
            DataSettings(folder=data),
            events_of(*events),
            EventSettings(**settings),
            tmp_path / folder,
        )
        rows = (out.folder / "shop.inter").read_text().splitlines()
        assert rows[0].split("\t") == ["user_id", "item_id", "rating", "timestamp"]
        split = [row.split("\t") for row in rows[1:]]
        return out, {(u, i): (int(r), float(t)) for u, i, r, t in split}

    return run


def test_one_deed_is_a_like_and_of_views_it_takes_three(assembled: Callable) -> None:
    out, pairs = assembled(
        ("u", "x", "click", 5),
        ("u", "y", "view", 1),
        ("u", "y", "view", 2),
        ("u", "z", "view", 1),
        ("u", "z", "view", 2),
        ("u", "z", "view", 3),
    )
    assert pairs["u", "x"] == (1, NOW + 5)
    assert pairs["u", "y"] == (0, NOW + 1)
    assert pairs["u", "z"] == (1, NOW + 3)
    assert (out.new_users, out.new_items, out.events, out.counted) == (1, 3, 6, 6)
    assert (out.users, out.items) == (3, 13)
    assert out.density == 12 / 39


def test_a_dislike_takes_a_like_back_from_wherever_it_came(assembled: Callable) -> None:
    _, pairs = assembled(
        ("u", "x", "click", 1),
        ("u", "x", "dislike", 2),
        ("a", "old3", "dislike", 2),
        ("b", "old0", "like", 2),
    )
    assert pairs["u", "x"][0] == pairs["a", "old3"][0] == 0
    assert pairs["b", "old0"] == (1, NOW + 2)


@pytest.mark.parametrize(
    ("kinds", "rating"),
    [
        (["like", "purchase", "return"], 0),
        (["click", "click", "hide"], 0),
        (["dislike", "dislike", "like"], 1),
        (["like", "dislike", "view", "view"], 0),
        (["like", "undo"], None),
        (["undo", "like"], 1),
        (["like", "undo", "view"], 0),
        (["dislike", "undo", "like", "view"], 1),
    ],
)
def test_the_last_word_on_an_item_counts(assembled: Callable, kinds, rating: int | None) -> None:
    _, pairs = assembled(*(("u", "x", kind, place) for place, kind in enumerate(kinds)))
    assert pairs.get(("u", "x"), (None,))[0] == rating


def test_an_undo_takes_back_what_the_data_folder_says(assembled: Callable) -> None:
    _, pairs = assembled(("a", "old3", "undo", 2))
    assert ("a", "old3") not in pairs
    assert pairs["a", "old4"] == (1, 4)


def test_what_was_only_shown_is_no_interaction(assembled: Callable) -> None:
    out, pairs = assembled(("u", "x", "impression", 1))
    assert ("u", "x") not in pairs
    assert (out.events, out.counted, out.rejected) == (1, 0, {})


def test_a_clock_that_is_ahead_is_set_back(assembled: Callable) -> None:
    _, pairs = assembled(("u", "x", "click", 50_000))
    assert pairs["u", "x"] == (1, NOW + 1000)


def test_ids_that_would_break_the_table_are_counted(assembled: Callable) -> None:
    out, pairs = assembled(("u\t1", "x", "click", 1), (" ", "x", "click", 1), ("ü", "x", "like", 1))
    assert list(out.rejected.values()) == [2]
    assert pairs["ü", "x"][0] == 1


def test_the_newest_tenth_tests_the_tenth_before_validates(assembled: Callable) -> None:
    out, _ = assembled(*((f"u{n}", "x", "click", n) for n in range(10)))
    assert out.positives == 20
    assert (out.trained_until, out.tested_from) == (NOW + 5, NOW + 8)
    dataset = load_dataset(out.config)
    assert (dataset.train.nnz, dataset.valid.nnz, dataset.test.nnz) == (16, 2, 2)
    assert [dataset.user_ids[u] for u in dataset.test.nonzero()[0]] == ["u8", "u9"]


def test_content_travels_along(assembled: Callable) -> None:
    out, _ = assembled(("u", "new", "click", 1), items="item_id\ttitle\nold0\tA\nold1\tA b\n")
    dataset = load_dataset(out.config)
    assert "new" in dataset.item_ids
    assert dataset.item_metadata[dataset.item_ids.index("old1")]["title"] == "A b"


def test_milliseconds_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "x.inter").write_text("user_id\titem_id\ttimestamp\na\tb\t1700000000000\n")
    with pytest.raises(DataError, match='timestamp_unit = "ms"'):
        assemble(DataSettings(folder=tmp_path), events_of(), EVENT_SETTINGS, tmp_path / "out")
    settings = DataSettings(folder=tmp_path, timestamp_unit="ms")
    assert assemble(settings, events_of(), EVENT_SETTINGS, tmp_path / "out").tested_from == NOW


def test_one_user_cannot_fill_the_newest_tenth(assembled: Callable) -> None:
    flood = [("spammer", f"spam{n:03d}", "purchase", n) for n in range(300)]
    honest = [(f"u{n}", f"old{n % 10}", "purchase", n) for n in range(50)]
    out, pairs = assembled(*flood, *honest)
    # A hundredth of 361 pairs is less than what anybody may weigh.
    assert out.capped_users == {"spammer": 280}
    assert [item for user, item in pairs if user == "spammer"] == [
        f"spam{n:03d}" for n in range(280, 300)
    ]
    assert sum(user.startswith("u") for user, _ in pairs) == 50
    assert out.left_out == [
        "1 users have more than events.max_share allows: 280 pairs left out, see the report"
    ]


def test_one_unknown_item_cannot_either(assembled: Callable) -> None:
    bots = [(f"bot{n}", "spam", "purchase", n) for n in range(40)]
    fans = [(f"fan{n}", "old1", "purchase", n) for n in range(40)]
    out, pairs = assembled(*bots, *fans)
    assert (out.capped_users, out.capped_items) == ({}, {"spam": 20})
    assert sum(item == "old1" for _, item in pairs) == 41
    described, _ = assembled(*bots, *fans, items="item_id\ttitle\nspam\tNew\n", folder="again")
    assert described.capped_items == {}
    with_share, _ = assembled(*bots, max_share=1.0, items="item_id\nold1\n", folder="all")
    assert with_share.capped_items == {}


def test_only_what_the_catalogue_has_if_asked_for(assembled: Callable) -> None:
    events = [("u", "spam", "purchase", 1), ("u", "new", "purchase", 2)]
    table = "item_id\ttitle\nold1\tOne\nnew\tNew\n"
    out, pairs = assembled(*events, items=table, known_items_only=True)
    assert [item for user, item in pairs if user == "u"] == ["new"]
    assert sum(out.rejected.values()) == 1
