"""What users of other recommenders and search servers have reported, tried here.

Each case names the report: project and number.
"""

import hashlib
import json
from contextlib import suppress
from typing import Any

import httpx2
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


def report(service: Any, user: str, kind: str, *items: str) -> None:
    events = [
        {
            "event_id": f"{user} {kind} {item}",
            "user_id": user,
            "item_id": item,
            "type": kind,
            "timestamp": "2026-01-01T12:00:00Z",
        }
        for item in items
    ]
    assert service.post("/v1/feedback", json={"events": events}).is_success


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


def test_bodies_that_are_not_sent_as_json(
    redis_url, artifact, publish, serving, following, until
) -> None:
    """FastAPI services: `curl --data` names another type, and the answer was about objects."""
    publish(redis_url, artifact)
    key = 32 * "k"
    keys = f"shop read {hashlib.sha256(key.encode()).hexdigest()}"
    with serving(following(keys=keys)) as service:
        until(service.ready)
        for path in ("/v1/recommendations", "/v1/score"):
            for sent in ("", "application/x-www-form-urlencoded", "text/plain"):
                headers = {"Authorization": f"Bearer {key}", "Content-Type": sent}
                answer = service.post(path, content=b'{"user_id": "u001"}', headers=headers)
                assert answer.status_code == 422, answer.text
                detail = answer.json()["detail"]
                assert "send JSON as application/json" in detail
                assert (repr(sent) if sent else "without a Content-Type") in detail


def test_whoever_has_seen_everything(client) -> None:
    """Implicit 476: no error, an empty list that says why."""
    items = [item["item_id"] for item in client.get("/v1/items?limit=1000").json()["items"]]
    report(client, "u002", "click", *items)
    answer = client.recommend("u002")
    assert (answer["items"], answer["warning_codes"]) == ([], ["short"])
    assert answer["left_out"] == {"seen": len(items)}
    assert f"{len(items)} already seen" in answer["warnings"][0]
    assert len(client.recommend("u002", exclude_seen=False)["items"]) == 10


def test_the_score_in_a_list_is_that_of_the_item_alone(client) -> None:
    """Implicit 172."""
    listed = client.recommend("u001", k=50)["items"]
    body = {"user_id": "u001", "items": [item["item_id"] for item in listed]}
    ranked = client.post("/v1/score", json=body).json()["items"]
    one, other = ({x["item_id"]: x["score"] for x in items} for items in (listed, ranked))
    assert one == pytest.approx(other, abs=1e-5)


def test_candidates_that_are_few_or_seen(client) -> None:
    """Implicit 507: more wanted than there are, and some of them seen."""
    best, second = (item["item_id"] for item in client.recommend("u001", k=2)["items"])
    report(client, "u001", "click", best)
    body = {"user_id": "u001", "k": 50, "candidates": [best, second, second]}
    found = client.post("/v1/recommendations", json=body).json()["items"]
    assert [item["item_id"] for item in found] == [second]


def test_what_was_shown_is_not_shown_again(client) -> None:
    """Gorse 592, 802 and 831: pages of a user, and of a visitor who gets popular items."""
    for user in ("u003", "visitor"):
        shown: list[str] = []
        for _ in range(3):
            page = [item["item_id"] for item in client.recommend(user, k=5)["items"]]
            assert len(page) == 5
            assert not set(page) & set(shown)
            shown += page
            report(client, user, "view", *page)


def test_lists_of_a_batch_stand_where_they_were_asked_for(client) -> None:
    """LensKit 99: whoever is not known has a place as well."""
    wanted = [{"user_id": user, "k": k} for user, k in [("no", 1), ("u001", 2), ("no", 3)]]
    answers = client.post("/v1/recommendations:batch", json={"requests": wanted}).json()
    got = [(x["user_id"], len(x["items"]), x["fallback"]) for x in answers["responses"]]
    assert got == [("no", 1, "popular"), ("u001", 2, None), ("no", 3, "popular")]


def test_whoever_hangs_up_leaves_no_answer_to_another(
    client, proxy, redis_url, serving, following, until
) -> None:
    """Redis-py 2624 and 2665: a reply that nobody reads is read as that to the next question."""
    line = proxy(int(redis_url.rpartition(":")[2].partition("/")[0]))
    with serving(following(line.url)) as service:
        until(service.ready)
        for number in range(12):
            report(client, f"guest{number}", "click", f"i{number:03d}")
        line.delay_seconds = 0.02
        for number in range(12):
            with suppress(httpx2.TimeoutException):
                service.get(f"/v1/users/u{number:03d}/recommendations", timeout=0.01)
            known = service.get(f"/v1/users/guest{number}").json()
            assert [event["item_id"] for event in known["events"]] == [f"i{number:03d}"]
