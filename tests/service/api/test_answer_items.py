"""Items of answers are put together from pieces: they have the fields that are documented."""

import pytest

from model.runtime.native.join import TextRows
from service.recommend.answer_items import PINNED
from service.schemas.responses import Because, ExpertContribution, RecommendedItem
from service.serving.labels import Label

BOOST = {"filters": [{"attribute": "category", "op": "==", "value": "odd"}], "points": 0.5}
PIN = {"item_id": "i004", "rank": 1}


@pytest.fixture
def _as_python_does(monkeypatch) -> None:
    """What is written is what Python writes, or the request fails."""

    def written(rows):
        text, end_C = by_default(rows)
        expected, expected_C = rows.written_by_python()
        assert end_C.tolist() == expected_C.tolist()
        assert bytes(text[: end_C[-1]]) == bytes(expected)
        return text, end_C

    by_default = TextRows.written
    monkeypatch.setattr(TextRows, "written", written)


@pytest.mark.usefixtures("_as_python_does")
@pytest.mark.parametrize("explain", ["none", "experts", "full"])
@pytest.mark.parametrize(
    "asked",
    [
        {"user_id": "u003", "offset": 2},
        {"user_id": "u003", "session_items": ["i001", "i002"]},
        {"session_items": ["i001"], "k": 1},
        {"user_id": "u003", "boosts": [BOOST], "pins": [PIN]},
        {"user_id": "nobody", "pins": [PIN]},
        {"user_id": "u003", "candidates": []},
    ],
)
def test_an_item_has_the_documented_fields(disk_client, asked, explain) -> None:
    answer = disk_client.post("/v1/recommendations", json={"k": 7, "explain": explain, **asked})
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert bool(items) == ("candidates" not in asked)
    first = asked.get("offset", 0) + 1
    assert [item["rank"] for item in items] == [*range(first, first + len(items))]
    for item in items:
        assert list(item) == list(RecommendedItem.__annotations__)
        assert all(list(who) == list(Because.__annotations__) for who in item["because"])
        assert (item["reasons"][-1:] == [PINNED]) == (
            "pins" in asked and item["item_id"] == PIN["item_id"]
        )
        is_explained = explain != "none" and item["source"] != "popular"
        assert (item["experts"] is not None) == is_explained
        assert (item["by_modality"] is not None) == (is_explained and explain == "full")
        if not is_explained:
            assert item["because"] == []
            continue
        assert all(list(one) == list(ExpertContribution.__annotations__) for one in item["experts"])
        contributions = [one["contribution"] for one in item["experts"]]
        assert contributions == sorted(contributions, reverse=True)
        assert sum(one["weight"] for one in item["experts"]) == pytest.approx(1, abs=1e-5)
        points = sum(each["points"] for each in item["adjustments"])
        total = item["bias"] + sum(contributions) + points
        assert item["score"] == pytest.approx(total, abs=1e-5)
        for sums in filter(None, (item["by_modality"], item["by_view"])):
            assert sum(sums.values()) == pytest.approx(sum(contributions), abs=1e-5)


def test_a_label_is_json_whatever_the_title_holds() -> None:
    label = Label.of('"\\', '"Fugitive", The (é)\n')
    assert label.name == 'The "Fugitive" (é)\n'
    assert label.fields == '{"item_id":"\\"\\\\","title":"\\"Fugitive\\", The (é)\\n"'.encode()
    assert label.json == 'The \\"Fugitive\\" (é)\\n'.encode()
