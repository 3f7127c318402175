"""A list that is shorter than asked for says why, and the figures add up."""

from typing import Any

import pytest

from tests.made_artifact import ITEMS

USER = {"user_id": "u004"}
FEW = ["i001", "i002", "i003", "i004", "i005"]
ONE = [{"attribute": "item_id", "op": "==", "value": "i001"}]


@pytest.fixture(scope="module")
def asked(disk_client):
    def ask(**body: Any) -> Any:
        answer = disk_client.post("/v1/recommendations", json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert len(found["warnings"]) == len(found["warning_codes"])
        return found

    return ask


@pytest.mark.parametrize(
    ("body", "causes"),
    [
        (USER | {"k": 50, "offset": 40}, {"seen"}),
        (USER | {"k": 50, "offset": 40, "exclude_seen": False}, set()),
        (USER | {"k": 10, "offset": 1000}, {"seen"}),
        (USER | {"k": 50, "categories": ["odd"]}, {"categories", "seen"}),
        (USER | {"k": 50, "categories": ["nothing"]}, {"categories"}),
        (USER | {"filters": ONE, "exclude_seen": False}, {"filters"}),
        (USER | {"filters": ONE, "categories": ["odd"], "exclude": ["i001"]}, None),
        (USER | {"k": 50, "candidates": FEW, "exclude": FEW[:2]}, None),
        (USER | {"candidates": [*FEW, *FEW, "gone"], "exclude_seen": False}, set()),
        (USER | {"candidates": []}, set()),
        ({"session_items": FEW, "candidates": FEW}, {"seen"}),
        ({"session_items": ["i001"], "max_per": {"attribute": "category", "count": 1}}, None),
        ({"user_id": "nobody", "k": 50, "offset": 60}, set()),
        (
            USER | {"filters": ONE, "pins": [{"item_id": "i009", "rank": 1}], "k": 5},
            {"filters"},
        ),
    ],
)
def test_what_is_left_out_is_told(asked, body: dict[str, Any], causes: set[str] | None) -> None:
    """Of all that there is, every item is in the whole list or left out by one cause."""
    answer = asked(**body)
    whole = len(asked(**body | {"k": 50, "offset": 0})["items"])
    whole += len(asked(**body | {"k": 50, "offset": 50})["items"])
    there = len(set(body["candidates"]) - {"gone"}) if "candidates" in body else ITEMS
    left_out = answer["left_out"]
    assert len(answer["items"]) < body.get("k", 10)
    assert all(count > 0 for count in left_out.values())
    assert whole + sum(left_out.values()) == there
    if causes is not None:
        assert set(left_out) - {"seen"} == causes - {"seen"}
        assert causes <= set(left_out)
    if left_out or "candidates" not in body:
        assert answer["warning_codes"][-1] == "short"
        words = answer["warnings"][-1]
        assert words.startswith(f"the whole list has {whole} item")
        assert all(f" {count} " in words for count in left_out.values())
    else:  # whoever names candidates knows how many
        assert "short" not in answer["warning_codes"]


def test_a_list_that_is_whole_leaves_nothing_to_say(asked) -> None:
    for body in (USER, USER | {"k": 1, "filters": ONE, "pins": [{"item_id": "i009", "rank": 1}]}):
        answer = asked(**body)
        assert (answer["left_out"], answer["warnings"]) == (None, [])
    batch = [USER | {"k": 2}, USER | {"k": 50, "offset": 70}]
    assert [asked(**each)["left_out"] is None for each in batch] == [True, False]


def test_hidden_and_deleted_items(client) -> None:
    items = [each["item_id"] for each in client.get("/v1/items?limit=1000").json()["items"]]
    client.post("/v1/items:availability", json={"item_ids": items[3:], "available": False})
    client.delete(f"/v1/items/{items[0]}")
    client.put("/v1/items/new", json={"title": "New"})
    body = {"session_items": [items[1]], "k": 5}
    answer = client.post("/v1/recommendations", json=body).json()
    assert answer["left_out"] == {"hidden": len(items) - 2, "seen": 1}
    told = client.get(f"/v1/items/{items[1]}/similar?k=5").json()
    assert told["warning_codes"] == ["short"]
    assert f"has {len(told['items'])} item" in told["warnings"][0]


def test_a_category_that_no_item_is_in(disk_client) -> None:
    found = disk_client.get("/v1/items", params={"category": ["odd", "nothing"]}).json()
    assert (found["warnings"], found["warning_codes"]) == (
        ["no item is in category 'nothing'"],
        ["unknown_category"],
    )
    assert disk_client.get("/v1/items?title=no+such+title").json()["warnings"] == []
