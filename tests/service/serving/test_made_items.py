import sqlite3
from collections.abc import Sequence

import numpy as np
import pytest

from model.registry.items import ItemRecord
from model.runtime.cold_items import ColdItems
from service.serving import made_items
from service.serving.made_items import FILE, MADE_ROWS, MadeItems, content_of

CONTENTS = [-(2**63), 7, 2**63 - 1]
TENSORS = {name: np.empty((9, 2, 3), dtype=np.float32) for name in MADE_ROWS[:3]} | {
    "item_bias": np.empty(9, dtype=np.float32)
}


class Maker:
    """Makes rows that tell them apart, and remembers which it was asked for."""

    def __init__(self) -> None:
        self.places: list[int] = []

    def __call__(self, places: Sequence[int]) -> ColdItems:
        self.places += places
        row_X = np.array(places, dtype=np.float32) + 1
        rows = [np.full((len(places), 2, 3), factor) * row_X[:, None, None] for factor in (1, 2, 3)]
        return ColdItems(
            embeddings_XVMD=rows[0],
            foldin_XVMD=rows[1],
            routing_XJ=rows[2],
            bias_X=-row_X,
            by=["encoder" if place % 2 else "features" for place in places],
        )


def asked_of(folder, contents=CONTENTS) -> tuple[list[int], ColdItems]:
    """Which were made, and all rows, by a process that has just started."""
    make = Maker()
    return make.places, MadeItems(folder, TENSORS).completed(contents, make)


def test_a_row_is_made_once(tmp_path) -> None:
    first, made = asked_of(tmp_path)
    assert first == [0, 1, 2]
    again, kept = asked_of(tmp_path)
    assert again == []
    assert kept.by == made.by == ["features", "encoder", "features"]
    for name, rows in made.arrays().items():
        assert kept.arrays()[name].tolist() == rows.tolist(), name
    assert kept.foldin_XVMD[2].tolist() == [[6] * 3] * 2
    some, mixed = asked_of(tmp_path, [7, 8, -(2**63)])
    assert some == [1]
    assert mixed.bias_X.tolist() == [-2, -2, -1]


@pytest.mark.parametrize(
    "change", ["UPDATE made SET row = zeroblob(length(row))", "UPDATE made SET row = x'00'"]
)
def test_a_damaged_row_is_made_again(tmp_path, change) -> None:
    asked_of(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute(f"{change} WHERE content = 7")
    assert [asked_of(tmp_path)[0] for _ in range(2)] == [[1], []]


def test_a_damaged_file_is_removed(tmp_path, caplog) -> None:
    asked_of(tmp_path)
    (tmp_path / FILE).write_bytes(b"no database" * 999)
    made, found = asked_of(tmp_path)
    assert made == [0, 1, 2]
    assert found.bias_X.tolist() == [-1, -2, -3]
    assert "is not used" in caplog.text
    assert asked_of(tmp_path)[0] == []


def test_where_nothing_can_be_kept_rows_are_made(tmp_path, caplog) -> None:
    made, found = asked_of(tmp_path / "gone")
    assert (made, found.bias_X.tolist()) == ([0, 1, 2], [-1, -2, -3])
    assert "is not used" in caplog.text


def test_a_file_has_a_largest_size(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(made_items, "_MOST_BYTES", 0)
    assert [asked_of(tmp_path)[0] for _ in range(2)] == [[0, 1, 2]] * 2


def test_contents_are_the_same_in_every_process_and_differ_by_what_rows_are_made_of() -> None:
    item = {"item_id": "a", "title": "A cup", "categories": ["x"], "updated_at": 1.0}
    content = content_of(ItemRecord(**item))
    assert content == 5049308745204892886
    assert content == content_of(ItemRecord(**item | {"item_id": "b", "updated_at": 2.0}))
    changes = [{"title": "A cap"}, {"categories": []}, {"features": {"text": [0.5]}}]
    others = [content_of(ItemRecord(**item | change)) for change in changes]
    assert len({content, *others}) == 4
