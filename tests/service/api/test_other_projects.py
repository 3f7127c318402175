"""What users of other recommenders and search servers have reported, tried here.

Each case names the report: project and number.
"""

import json
from typing import Any

import pytest

ITEMS: dict[str, dict[str, Any]] = {
    "m1": {"colour": "blue", "price": 30, "flag": True, "long": 300 * "x", "day": "2026-01-31"},
    "m2": {"colour": 145238, "price": 30.0, "flag": 1, "long": 299 * "x" + "y"},
    "m3": {"colour": "Blue ", "price": "30", "flag": "true", "tiny": 0.1, "neg": -0.0},
    "m4": {"tiny": 0.1 + 0.2, "big": 2**63, "huge": 1.7e308},
}
FILTERS: list[tuple[str, str, str, Any, str]] = [
    ("meilisearch 2516: another type is not equal", "colour", "!=", "blue", "m2 m3 m4"),
    ("meilisearch 2516: a number is no text", "colour", "==", "145238", ""),
    ("meilisearch 2516: a number is found", "colour", "==", 145238, "m2"),
    ("typesense 2008: 30.00 is 30", "price", "==", 30.00, "m1 m2"),
    ("meilisearch 2100: a price as text is compared as text", "price", "<=", 30, "m1 m2"),
    ("meilisearch 2100: and found as text", "price", "==", "30", "m3"),
    ("typesense 2548: long texts differ in the last letter", "long", "==", 300 * "x", "m1"),
    ("meilisearch 2061: case and blanks count", "colour", "in", ["BLUE", "blue"], "m1"),
    ("gorse 570: dates in order", "day", "<", "2026-02-01", "m1"),
    ("typesense 166: true is not 1", "flag", "==", True, "m1"),
    ("typesense 166: nor is 1 true", "flag", "==", 1, "m2"),
    ("a decimal fraction is what was sent", "tiny", "==", 0.1, "m3"),
    ("a sum of them is not", "tiny", "==", 0.3, ""),
    ("minus zero is zero", "neg", "==", 0, "m3"),
    ("a number of 64 bits", "big", "==", 2**63, "m4"),
    ("the largest numbers", "huge", ">", 1e308, "m4"),
    ("what is missing exists not", "flag", "exists", False, "m4"),
]


@pytest.fixture
def client(redis_url, artifact, publish, serving, following, until):
    publish(redis_url, artifact)
    with serving(following()) as service:
        until(service.ready)
        yield service


def test_filters_on_mixed_values(client, until) -> None:
    for item_id, attributes in ITEMS.items():
        body = {"title": f"Mix {item_id}", "attributes": attributes}
        assert client.put(f"/v1/items/{item_id}", json=body).status_code == 201
    until(lambda: len(client.get("/v1/items?title=mix").json()["items"]) == len(ITEMS))

    def found(attribute: str, op: str, value: Any) -> set[str]:
        filters = [{"attribute": attribute, "op": op, "value": value}]
        body = {"user_id": "u001", "candidates": [*ITEMS], "filters": filters}
        items = client.post("/v1/recommendations", json=body).json()["items"]
        return {item["item_id"] for item in items}

    for case, attribute, op, value, expected in FILTERS:
        assert found(attribute, op, value) == set(expected.split()), case
    # typesense 166 and 2140: after an update the new value counts, and the old one no more.
    client.put("/v1/items/m1", json={"title": "Mix", "attributes": {"price": 31}})
    until(lambda: found("price", "==", 31) == {"m1"})
    assert found("price", "==", 30) == {"m2"}


def test_items_in_bulk_as_windows_writes_them(client, until) -> None:
    """Typesense: a byte order mark, lines that end with CR LF, and empty ones."""
    lines = '\ufeff{"item_id": "b1", "title": "Bulk"}\r\n\r\n{"item_id": "b2", "title": "Bulk"}\r\n'
    assert client.post("/v1/items:bulk", content=lines.encode()).json()["items"] == 2
    until(lambda: len(client.get("/v1/items?title=bulk").json()["items"]) == 2)


@pytest.mark.parametrize("item_id", ["AC/DC", "a b?c#d&e+f", "1-123", "..", "Zürich;v=1", "%2F"])
def test_ids_with_marks_of_addresses(item_id: str, client, until) -> None:
    """PredictionIO template 12, hybrid-recommender 130, langfuse 17259."""
    lines = json.dumps({"item_id": item_id, "title": "Odd"})
    assert client.post("/v1/items:bulk", content=lines).status_code == 200
    path = "/v1/items/" + "".join(f"%{byte:02X}" for byte in item_id.encode())
    until(lambda: client.get(path).status_code == 200)
    assert client.get(path).json()["item_id"] == item_id
    assert client.delete(path).json()["item_id"] == item_id


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"candidates": ["i000", "i000"]}, 200, ""),
        ({"candidates": []}, 200, ""),
        ({"candidates": ["i000"], "exclude": ["i000"]}, 200, ""),
        ({"offset": 10**30}, 200, ""),
        ({"k": 50, "candidates": ["i001"]}, 200, ""),
        ({"session_items": 5 * ["i000"]}, 200, ""),
        ({"pins": [{"item_id": "i000", "rank": 900}]}, 200, ""),
        ({"pins": 2 * [{"item_id": "i000", "rank": 1}]}, 422, "two pins"),
        ({"categories": ["EVEN"]}, 200, ""),
        ({"filters": [{"attribute": "x", "op": "in", "value": []}]}, 422, "a list of 1 to 1,000"),
        ({"filters": [{"attribute": "x", "op": "==", "value": {}}]}, 422, "a truth value"),
        ({"boosts": [{"filters": [], "points": 1}]}, 422, "at least 1 item"),
    ],
)
def test_lists_at_their_edges(body: dict[str, Any], status: int, word: str, disk_client) -> None:
    """Implicit, gorse, meilisearch: repeated and missing entries, pages behind the end."""
    answer = disk_client.post("/v1/recommendations", json={"user_id": "u001", **body})
    assert answer.status_code == status, answer.text
    if status == 200:
        ids = [item["item_id"] for item in answer.json()["items"]]
        assert len(ids) == len(set(ids))
    else:
        assert word in answer.json()["detail"]
        assert "constrained" not in answer.text


@pytest.mark.parametrize("path", ["recommendations", "explain", "items:lookup", "score"])
def test_bodies_that_break_parsers(path: str, disk_client) -> None:
    """CPython 95778, and nesting: both are told, on every route."""
    for value, word in ((5_000 * b"9", "too many digits"), (100_000 * b"[", "too deeply")):
        answer = disk_client.post(
            f"/v1/{path}",
            content=b'{"user_id": ' + value + b"}",
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 400, answer.text
        assert word in answer.json()["detail"]
