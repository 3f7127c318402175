"""What users of other recommenders reported of their own tables, tried here.

By project and issue: RecBole 2000 and 2125, gorse 516, implicit 316, metarank 866.
"""

import random
from pathlib import Path

import polars as pl
import pytest

from deploy.cli.app import main
from training.ingest.values import MISSING

CHOSEN = [(f"u{row % 6}", f"p{7 * row % 11}", f"2024-03-{1 + row % 28:02d}") for row in range(60)]


def written(path: Path, head: str, rows: list[tuple[object, ...]], mark: str = ",") -> None:
    lines = [mark.join(map(str, row)) for row in rows]
    path.write_text("\n".join([head, *lines]) + "\n")


def imported(shop: Path, *options: str) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Interactions and items; the command must succeed."""
    out = shop.parent / "out"
    assert main(["import", str(shop), "--out", str(out), *options]) == 0
    frame = pl.read_csv(next(out.glob("*.inter")), separator="\t", infer_schema=False)
    items = out / "items.tsv"
    return frame, pl.read_csv(items, separator="\t", infer_schema=False) if items.exists() else None


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    return tmp_path / "shop"


def test_typed_headers_and_prices_that_are_dashes(shop: Path) -> None:
    """RecBole: columns named `field:type`, of which some values are no numbers."""
    rows = [(r % 6, 7 * r % 11, 1 + r % 5, 1_700_000_000 + r) for r in range(60)]
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    written(shop / "shop.inter", head, rows, "\t")
    things = [(i, f"Thing {i}", "\u2014" if i % 2 else 1.5 * i) for i in range(11)]
    written(shop / "shop.item", "item_id:token\ttitle:token_seq\tprice:float", things, "\t")
    frame, items = imported(shop)
    assert len(frame) == 60
    assert items is not None
    prices = dict(items.select("item_id", "price").iter_rows())
    assert (prices["2"], prices["3"] or "") == ("3.0", "")


def test_feedback_types_are_events(shop: Path) -> None:
    """Gorse: the kind of feedback stands in `feedback_type`."""
    kinds = ("star", "dislike", "like")
    rows = [(kinds[r % 3], *CHOSEN[r][:2], f"2024-03-{1 + r % 28:02d} 10:00:00") for r in range(60)]
    written(shop / "feedback.csv", "feedback_type,user_id,item_id,time_stamp", rows)
    imported(shop)
    assert "dislike = -5" in (shop.parent / "out" / "mapping.toml").read_text()


@pytest.mark.parametrize("word", [x for x in MISSING if x])
def test_a_word_for_nothing_is_no_category(shop: Path, word: str) -> None:
    written(shop / "events.csv", "user,item,date", CHOSEN)
    things = [(f"p{i}", f"Thing {i}", word.upper() if i % 2 else "Tea|Wool") for i in range(11)]
    written(shop / "items.csv", "item_id,title,genres", things)
    _, items = imported(shop)
    assert items is not None
    assert set(items["categories"].fill_null("")) == {"", "Tea|Wool|"}


def test_events_in_any_order_are_one_log(shop: Path) -> None:
    """Metarank 866: a file that is not sorted by time."""
    moments = [(f"u{r % 6}", f"p{7 * r % 11}", 1_700_000_000 + 60 * r) for r in range(60)]
    shuffled = random.Random(1).sample(moments, len(moments))
    kept = []
    for number, rows in enumerate((moments, shuffled)):
        folder = shop / str(number) / "shop"
        folder.mkdir(parents=True)
        written(folder / "events.csv", "user,item,timestamp", rows)
        kept.append(imported(folder)[0].sort("user_id", "timestamp"))
    assert kept[0].equals(kept[1])


@pytest.mark.parametrize("first", ["0", "000", "-1", "+1", "1e5", "0x10", "true", "1_000"])
def test_ids_that_look_like_numbers_stay_as_they_are(shop: Path, first: str) -> None:
    """Implicit 316 and others: the first item is one as the others are."""
    rows = [(u, first if i == "p0" else i, d) for u, i, d in CHOSEN]
    written(shop / "events.csv", "user,item,date", rows)
    frame, _ = imported(shop)
    assert first in frame["item_id"].to_list()


def test_seconds_and_milliseconds_in_one_column(shop: Path) -> None:
    rows = [
        (u, i, (1_700_000_000 + n) * (1 if n % 2 else 1000)) for n, (u, i, _) in enumerate(CHOSEN)
    ]
    written(shop / "events.csv", "user,item,timestamp", rows)
    frame, _ = imported(shop)
    times = frame["timestamp"].cast(pl.Int64)
    assert (times.min(), times.max()) == (1_700_000_000, 1_700_000_059)


def test_a_second_header_costs_its_row_alone(shop: Path) -> None:
    """Files that were put one behind the other."""
    written(shop / "events.csv", "user,item,date", [*CHOSEN[:30], ("user", "item", "date")])
    with (shop / "events.csv").open("a") as more:
        more.writelines(",".join(row) + "\n" for row in CHOSEN[30:])
    frame, _ = imported(shop)
    assert len(frame) == 60
    assert "user" not in frame["user_id"].to_list()


@pytest.mark.parametrize("missing", ["", "0"])
def test_a_matrix_of_users_and_items_is_told(shop: Path, missing: str, capsys) -> None:
    """Surprise and others: a column for each item, which none of the questions could be about."""
    rows = [(f"u{u}", *((u * i) % 6 or missing for i in range(8))) for u in range(12)]
    written(shop / "m.csv", ",".join(["user", *(f"p{i}" for i in range(8))]), rows)
    assert main(["import", str(shop), "--out", str(shop.parent / "out")]) == 1
    said = capsys.readouterr().err
    assert "m.csv: seems to have a column for each item; write one row for each choice" in said
    assert not (shop.parent / "out").exists()
