"""Items that the API has put become rows of the training set: nothing is entered twice."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import redis

from model.registry.items import ItemRecord
from training.data.dataset import Dataset, load_dataset
from training.feedback.log import EVENTS
from training.retrain.session import RetrainSession
from training.retrain.settings import DataSettings, EventSettings
from training.retrain.training_set import assemble

WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
"""When the files of the data folder were."""
LATER, EARLIER = WRITTEN + timedelta(days=1), WRITTEN - timedelta(days=1)


def record(item_id: str, at: datetime = LATER, **fields: object) -> ItemRecord:
    return ItemRecord.model_validate({"item_id": item_id, "updated_at": at, **fields})


@pytest.fixture
def merged(tiny_data: Path, tmp_path: Path):
    """The training set of the tiny data and some records."""
    data = tmp_path / "data"
    data.mkdir()
    for path in tiny_data.iterdir():
        (data / path.name).write_bytes(path.read_bytes())
        os.utime(data / path.name, (WRITTEN.timestamp(), WRITTEN.timestamp()))

    def run(*records: ItemRecord) -> Dataset:
        events = pl.DataFrame([], schema=EVENTS)
        settings = EventSettings()
        out = assemble(DataSettings(folder=data), events, settings, tmp_path / "assembled", records)
        return load_dataset(out.config)

    return run


def test_new_items_are_appended_with_what_is_known_of_them(merged) -> None:
    dataset = merged(
        record(
            "new",
            title="Brand\tnew",
            categories=["Science Fiction", "Tea"],
            description="long",
            attributes={"price": 12.5, "brand": "x"},
            features={"text": [0.5] * 8},
        ),
        record("gone", retired=True),
        record("with\ttab", title="unusable"),
    )
    assert [x for x in dataset.item_ids if not x.startswith("i0")] == ["new"]
    row = dataset.item_ids.index("new")
    assert dataset.item_metadata[row] == {
        "title": "Brand new",
        "categories": ["Science Fiction", "Tea"],
        "description": "long",
        "attributes": {"price": 12.5, "brand": "x"},
    }
    assert dataset.features["text"].x_IF[row].tolist() == [0.5] * 8
    assert not dataset.features["picture"].present_I[row]
    assert dataset.item_metadata[0] == {"title": "Title 0", "categories": ["Tea"]}
    assert dataset.features["picture"].present_I[: row - 1].all()


def test_of_an_item_in_both_the_later_word_counts(merged) -> None:
    dataset = merged(
        record("i003", title="Renamed", features={"text": [1.0] * 8}),
        record("i004", EARLIER, title="Out of date", features={"text": [1.0] * 8}),
        record("i005", features={"text": [1.0] * 7}),
        record("i006", categories=[]),
    )
    assert dataset.item_metadata[3] == {"title": "Renamed", "categories": ["Wool"]}
    assert dataset.item_metadata[4]["title"] == "Title 4"
    assert "categories" not in dataset.item_metadata[6]
    first = dataset.features["text"].x_IF[:, 0]
    assert first[3] == 1
    assert (first[[4, 5]] != 1).all(), "the file is newer; the width is another"


def test_nothing_put_leaves_the_files_as_they_are(merged, tmp_path: Path) -> None:
    merged(record("gone", retired=True))
    for name in ("items.tsv", "text_feat.npy"):
        assert (tmp_path / "assembled" / name).resolve() == tmp_path / "data" / name


def test_where_only_features_are_a_table_is_made(merged, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "items.tsv").unlink()
    lines = (data / "tiny.inter").read_text().replace("\ti0", "\t")
    (data / "tiny.inter").write_text(
        "\n".join(
            "\t".join(
                str(int(x)) if n == 1 and x.isdigit() else x for n, x in enumerate(line.split("\t"))
            )
            for line in lines.splitlines()
        )
        + "\n"
    )
    dataset = merged(record("new", features={"text": [0.5] * 8}))
    assert len(dataset.item_ids) == 41
    row = dataset.item_ids.index("new")
    assert dataset.features["text"].x_IF[row].tolist() == [0.5] * 8
    seven = np.load(data / "text_feat.npy")[7]
    assert dataset.features["text"].x_IF[dataset.item_ids.index("7")] == pytest.approx(seven)


def test_records_are_read_from_redis_and_damaged_ones_left_out(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.hset("mg:{default}:items", "new", record("new", title="x").dump())
        client.hset("mg:{default}:items", "bad", "no json")
    with RetrainSession.open(redis_url, "default", 10.0) as session:
        (found,) = session.items()
    assert (found.item_id, found.title) == ("new", "x")
