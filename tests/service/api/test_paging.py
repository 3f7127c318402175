"""Listings in pages: each entry once, whatever comes and goes meanwhile."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
import redis

from model.registry.keys import KeySpace
from service.schemas.paging import cursor_of

LISTINGS = {
    "/v1/items": ("items", "item_id"),
    "/v1/items?title=TITLE": ("items", "item_id"),
    "/v1/items?category=even": ("items", "item_id"),
    "/v1/users": ("user_ids", None),
    "/v1/users?prefix=u01": ("user_ids", None),
    "/v1/categories": ("categories", "name"),
    "/v1/models": ("models", "model_version"),
    "/v1/users/u001": ("history", "item_id"),
}
FORGED = [
    "x",
    "%%%",
    "é",
    "bm90IGpzb24",
    urlsafe_b64encode(b'{"of":"items","at":[]}').decode(),
    urlsafe_b64encode(b'{"of":"items","at":["i001",-5],"more":1}').decode(),
    urlsafe_b64encode(json.dumps({"of": "items", "at": [[1], 2]}).encode()).decode(),
    cursor_of("another", "i001", 1),
]


def pages(client: Any, path: str, limit: int) -> list[dict[str, Any]]:
    """Every page of a listing."""
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": limit}
    while True:
        answer = client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        if found[-1]["next_cursor"] is None:
            return found
        assert len(found) < 200, "it has no end"
        params["cursor"] = found[-1]["next_cursor"]


def entries(found: list[dict[str, Any]], name: str, field: str | None) -> list[Any]:
    return [each if field is None else each[field] for page in found for each in page[name]]


@pytest.fixture
def client(redis_url, make_artifact, publish, serving, following, until):
    for number in range(5):
        publish(redis_url, make_artifact(f"v{number}", number + 1))
    with redis.Redis.from_url(redis_url) as store:
        store.zadd(KeySpace().versions, {f"v{number}": 100 + number // 2 for number in range(5)})
    with serving(following()) as service:
        until(lambda: service.ready() and service.recommend("u001")["model_version"] == "v4")
        yield service


@pytest.mark.parametrize("path", LISTINGS)
def test_pages_are_the_whole(path: str, client: Any) -> None:
    name, field = LISTINGS[path]
    (whole,) = pages(client, path, 100 if path == "/v1/models" else 1000)
    expected = entries([whole], name, field)
    assert len(expected) > 1
    for limit in (1, 2, 7):
        found = pages(client, path, limit)
        assert entries(found, name, field) == expected
        assert all(len(page[name]) == limit for page in found[:-1])


@pytest.mark.parametrize("path", LISTINGS)
def test_a_cursor_of_nothing_here_is_refused(path: str, client: Any) -> None:
    for cursor in [*FORGED, "x" * 5000]:
        answer = client.get(path, params={"cursor": cursor})
        assert answer.status_code == 422, f"{cursor}: {answer.text}"
        assert "cursor" in answer.json()["errors"][0]["field"]


def test_a_limit_is_bounded_everywhere(client) -> None:
    for path in LISTINGS:
        for limit in (0, -1, 1001, "ten"):
            assert client.get(path, params={"limit": limit}).status_code == 422, path
    cursor = cursor_of("items", "i001", 1)
    assert client.get("/v1/items", params={"cursor": cursor, "offset": 1}).status_code == 422


def test_pages_of_items_fit_while_items_come_and_go(client, until) -> None:
    for number in range(6):
        client.put(f"/v1/items/new{number}", json={"title": "New"})
    until(lambda: len(client.get("/v1/items?title=new").json()["items"]) == 6)
    for path in ("/v1/items?limit=1000", "/v1/items?title=new"):
        expected = entries(pages(client, path.partition("?")[0], 1000), "items", "item_id")
        assert len(set(expected)) == len(expected)
    first = client.get("/v1/items?title=new&limit=3").json()
    shown = [each["item_id"] for each in first["items"]]
    for item in shown[:2]:
        assert client.delete(f"/v1/items/{item}").is_success
    client.put("/v1/items/new9", json={"title": "New"})
    until(lambda: client.get("/v1/items/new9").is_success)
    params = {"title": "new", "limit": 100, "cursor": first["next_cursor"]}
    rest = [each["item_id"] for each in client.get("/v1/items", params=params).json()["items"]]
    assert not {*shown} & {*rest}
    assert {f"new{number}" for number in range(6)} - {*shown} <= {*rest}


def test_events_and_history_of_a_user_have_pages(client) -> None:
    events = [
        {
            "event_id": f"e{number}",
            "user_id": "u001",
            "item_id": f"i{number:03d}",
            "type": "click" if number % 2 else "view",
            "timestamp": "2026-01-01T12:00:00Z",
        }
        for number in range(20)
    ]
    assert client.post("/v1/feedback", json={"events": events}).status_code == 200
    (whole,) = pages(client, "/v1/users/u001", 1000)
    assert len(whole["events"]) == 20
    found = pages(client, "/v1/users/u001", 3)
    for name in ("events", "history"):
        assert [each for page in found for each in page[name]] == whole[name]
    again = found[4]["history"][-1]["item_id"]
    later = {**events[3], "event_id": "later", "item_id": again}
    assert client.post("/v1/feedback", json={"events": [later]}).status_code == 200
    cursor = found[0]["next_cursor"]
    second = client.get("/v1/users/u001", params={"limit": 3, "cursor": cursor}).json()
    assert second["events"] == found[1]["events"], "what is new is on the first page"
    assert second["history"] == found[1]["history"], "what was liked again is on the first page"


def test_a_user_who_is_erased_between_pages_moves_no_other(client) -> None:
    first = client.get("/v1/users?limit=3").json()
    last = first["user_ids"][-1]
    expected = client.get("/v1/users?limit=6").json()["user_ids"][3:]
    assert client.delete(f"/v1/users/{last}").status_code == 202
    params = {"limit": 3, "cursor": first["next_cursor"]}
    assert client.get("/v1/users", params=params).json()["user_ids"] == expected
