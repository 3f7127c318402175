"""What somebody else has written into our keys costs no answer, and is told by name."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from model.registry.keys import KeySpace
from service.store import foreign

KEYS = KeySpace()
ODD = b"caf\xe9"
READS = [
    "/v1/users/u001/recommendations",
    "/v1/users/u002/recommendations",
    "/v1/users/u001",
    "/v1/users/u001/explanations/i005",
    "/v1/users?prefix=u",
    "/v1/items",
    "/v1/items/i001",
    "/v1/items/i001/availability",
    "/v1/items/i001/similar",
    "/v1/categories",
    "/v1/model",
    "/v1/models",
    "/v1/rules",
    "/readyz",
    "/metrics",
]
Store = redis.Redis


def published(store: Store) -> None:
    store.zadd(KEYS.versions, {ODD: 1, b"v\xff": time.time(), "far": 1e300, "never": float("inf")})
    store.hset(KEYS.canary_answers, mapping={ODD: 1, b"v1": ODD})


def pointed(store: Store) -> None:
    for key in (KEYS.previous, KEYS.pinned, KEYS.canary):
        store.set(key, ODD)


def canary(store: Store) -> None:
    record = {"version": "no name", "share": 0.1, "started_at": "2026-01-01T00:00:00Z"}
    store.set(KEYS.canary, json.dumps(record))


def done(store: Store) -> None:
    now = time.time() * 1000
    store.zadd(KEYS.live("u001"), {b"click " + ODD: now, ODD: now - 1, "click i003": float("inf")})


def hidden(store: Store) -> None:
    store.sadd(KEYS.unavailable, ODD)
    number = 10 + int(store.get(KEYS.availability_revision) or 0)  # type: ignore[arg-type]
    store.xadd(KEYS.availability_log, {b"hide": ODD}, id=f"{number}-0")
    store.set(KEYS.availability_revision, number)


def items(store: Store) -> None:
    number = 10 + int(store.get(KEYS.items_revision) or 0)  # type: ignore[arg-type]
    store.hset(KEYS.items, ODD, ODD)
    store.zadd(KEYS.item_changes, {ODD: number, "never": float("inf")})
    store.xadd(KEYS.items_log, {b"alone": ODD}, id=f"{number}-0")
    store.set(KEYS.items_revision, number)


def erased(store: Store) -> None:
    store.hset(KEYS.erasures, ODD, ODD)
    store.set(KEYS.erasures_revision, 5)


def texts(store: Store) -> None:
    for key in (KEYS.rules, KEYS.runs, KEYS.event_log):
        store.set(key, ODD)


def streams(store: Store) -> None:
    for key in (KEYS.feedback, KEYS.training):
        store.xadd(key, {ODD: ODD, b"event": ODD})
    store.zadd(KEYS.feedback_ids, {ODD: 1})


WRITERS = [published, pointed, canary, done, hidden, items, erased, texts, streams]


@pytest.fixture
def client(redis_url, make_artifact, publish, serving, following, until):
    publish(redis_url, make_artifact("v1", 1))
    with redis.Redis.from_url(redis_url) as store:
        store.zadd(KEYS.versions, {"v1": time.time()})
    with serving(following()) as service:
        until(service.ready)
        yield service


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_no_read_fails(write: Callable[[Store], None], client: Any, redis_url: str, until) -> None:
    event = {"user_id": "u002", "item_id": "i004", "type": "click"}
    event |= {"event_id": "e1", "timestamp": "2026-01-01T12:00:00Z"}
    with redis.Redis.from_url(redis_url) as store:
        write(store)
        for path in READS:
            answer = client.get(path)
            assert answer.status_code == 200, f"{path}: {answer.text}"
            if path.endswith("/recommendations"):
                assert answer.json()["warnings"] == [], path
        assert client.post("/v1/feedback", json={"events": [event]}).status_code == 200
        assert client.delete("/v1/users/u003").status_code == 202
        assert client.put("/v1/items/new", json={"title": "New"}).status_code == 201
        until(lambda: client.get("/v1/items/new").status_code == 200)
        assert client.put("/v1/items/i009/availability", json={"available": False}).is_success
        shown = [item["item_id"] for item in client.recommend("u002", k=100)["items"]]
        assert "i009" not in shown


def test_what_is_left_out_is_named(client, redis_url, caplog) -> None:
    foreign.tell.cache_clear()
    with redis.Redis.from_url(redis_url) as store:
        for write in (published, texts, done):
            write(store)
    models = client.get("/v1/models").json()
    assert [each["model_version"] for each in models["models"]] == ["v1"]
    (warning,) = models["warnings"]
    assert "4 members of mg:{default}:versions" in warning
    rules = client.get("/v1/rules").json()
    assert "put them again" in rules["warnings"][0]
    for _ in range(3):
        client.recommend("u001")
    told = [each for each in caplog.messages if "no MAGNET has written" in each]
    assert told == [
        "the sorted set of a user's events holds what no MAGNET has written; it is left out, "
        "remove it"
    ]


def test_an_experiment_whose_counts_cannot_be_read(client, redis_url) -> None:
    with redis.Redis.from_url(redis_url) as store:
        started = "2026-01-01T00:00:00Z"
        store.set(KEYS.canary, json.dumps({"version": "v2", "share": 0.1, "started_at": started}))
        (key,) = store.keys("*experiment*v2*") or [b"mg:{default}:experiment:v2:1767225600000"]
        for field, value in ((b"champion_version", ODD), (b"since_ms", "9" * 30), (b"share", ODD)):
            store.delete(key)
            store.hset(key, field, value)
            answer = client.get("/v1/experiments/current")
            assert answer.status_code == 200, answer.text
            assert "cannot be read" in answer.json()["summary"]
