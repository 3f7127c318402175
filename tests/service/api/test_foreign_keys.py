"""A key of ours that holds something else costs no answer, is named, and no change is half done."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from model.registry.keys import KeySpace

KEYS = KeySpace()
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
EXPERIMENT = KEYS.experiment("v2", BEGAN)
CANARY = json.dumps({"version": "v2", "share": 0.1, "started_at": BEGAN.isoformat()})
USER = "u005"
ROWS = [KEYS.chunk("v1", name, 0) for name in ("user_embeddings", "seen_items")]
VERSION = [KEYS.manifest("v2"), KEYS.chunk("v2", "item_ids_blob", 0), *ROWS]
PLAIN = [
    *KEYS.types,
    *EXPERIMENT,
    KEYS.live(USER),
    *VERSION,
]
COUNTERS = [key for key, kind in KEYS.types.items() if kind == "counter"]
CASES = [(key, "list") for key in PLAIN] + [
    (key, value) for key in COUNTERS for value in ("no number", "-5", "9" * 30)
]
PARTS = 4
READS: list[tuple[str, str, Any]] = [
    *(
        ("GET", path, None)
        for path in (
            "/readyz",
            "/metrics",
            "/v1/categories",
            "/v1/experiments/current",
            "/v1/items",
            "/v1/items/i001",
            "/v1/items/i001/similar",
            "/v1/model",
            "/v1/models",
            "/v1/models/v1/report",
            "/v1/rules",
            "/v1/users?prefix=u",
            "/v1/users/{user}",
            "/v1/users/{user}/explanations/i005",
            "/v1/users/{user}/recommendations",
            "/v1/users/visitor/recommendations",
        )
    ),
    ("POST", "/v1/explain", {"user_id": USER, "item_id": "i005"}),
    ("POST", "/v1/items:lookup", {"item_ids": ["i001"]}),
    ("POST", "/v1/recommendations", {"user_id": USER}),
    ("POST", "/v1/recommendations:batch", {"requests": [{"user_id": USER}, {}]}),
    ("POST", "/v1/score", {"user_id": USER, "items": ["i005"]}),
]
CHANGES: list[tuple[str, str, Any]] = [
    ("GET", "/v1/items/i020/availability", None),  # no change, but nothing else can be answered
    ("PUT", "/v1/items/i020/availability", {"available": False}),
    ("POST", "/v1/items:availability", {"item_ids": ["i020"], "available": True}),
    ("PUT", "/v1/items/new", {"title": "New", "available": False}),
    ("PATCH", "/v1/items/i030", {"title": "Other"}),
    ("DELETE", "/v1/items/i031", None),
    ("PUT", "/v1/rules", {"max_per": {"attribute": "category", "count": 2}}),
    ("DELETE", "/v1/rules", None),
    ("DELETE", "/v1/users/u029", None),
    ("POST", "/v1/models/v1:activate", {"pin": False}),
    ("POST", "/v1/models:unpin", None),
    ("POST", "/v1/models:stop-canary", None),
]


@pytest.fixture
def client(redis_url, make_artifact, publish, serving, following, until) -> Iterator[Any]:
    publish(redis_url, make_artifact("v1", 1))
    publish(redis_url, make_artifact("v2", 2), live=False)
    with redis.Redis.from_url(redis_url) as store:
        store.zadd(KEYS.versions, {"v1": time.time(), "v2": time.time() - 10})
    with serving(following(user_cache_size=1)) as service:
        until(service.ready)
        for method, path, body in CHANGES:
            assert service.request(method, path, json=body).is_success, path
        feedback(service, "first")
        yield service


def feedback(service: Any, event_id: str) -> Any:
    event = {"user_id": USER, "item_id": "i004", "type": "click", "event_id": event_id}
    event["timestamp"] = "2026-01-01T12:00:00Z"
    return service.post("/v1/feedback", json={"events": [event]})


def contents(store: redis.Redis) -> dict[str, Any]:
    """What changes by what callers ask; not the counts of an experiment, which come later."""
    pipe = store.pipeline(transaction=False)
    keys = [key for key in KEYS.types if key != KEYS.canary_answers]
    for key in keys:
        pipe.dump(key)
    return dict(zip(keys, pipe.execute(), strict=True))


def is_of_a_user(answer: Any) -> bool:
    """Whether nothing honest can be said of a user whose row cannot be read."""
    return bool(answer.json()["type"] == "urn:magnet:problem:user-unavailable")


def read_faults(client: Any, key: str, user: str) -> Iterator[tuple[str, ...]]:
    """Reads that fail because of a key, and that of versions if it does not name it."""
    for method, path, body in READS:
        answer = client.request(method, path.replace("{user}", user), json=body)
        if answer.status_code >= 500 and not (key in ROWS and is_of_a_user(answer)):
            yield key, method, path, answer.text
    if key in KEYS.types:
        named = client.get("/v1/models").json()["warnings"]
        if not any(each.startswith(f"{key} is ") for each in named):
            yield key, "is not named", *named


def change_faults(client: Any, key: str, store: redis.Redis) -> Iterator[tuple[str, ...]]:
    """Changes that fail without naming the key, or say wrongly that nothing was changed."""
    for method, path, body in CHANGES:
        before = contents(store)
        answer = client.request(method, path, json=body)
        if not answer.is_success:
            detail = answer.json()["detail"]
            said = "nothing was changed" in detail
            clear = key in detail or (key in VERSION and "is not whole" in detail)
            if not clear or (said and contents(store) != before):
                yield key, method, path, answer.text
    answer = feedback(client, f"after {key}")
    if not answer.is_success and key not in answer.text:
        yield key, "feedback", answer.text


@contextmanager
def holding(store: redis.Redis, key: str, value: str) -> Iterator[None]:
    """While a key holds something else."""
    if key in EXPERIMENT:
        store.set(KEYS.canary, CANARY)
    good = store.dump(key)
    store.delete(key)
    if value == "list":
        store.rpush(key, "x")
    else:
        store.set(key, value)
    yield
    store.delete(key)
    if good is not None:
        store.restore(key, 0, good)
    if key in EXPERIMENT:
        store.delete(KEYS.canary)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_route_with_every_key(part: int, client: Any, redis_url: str, until) -> None:
    faults: list[tuple[str, ...]] = []
    with redis.Redis.from_url(redis_url) as store:
        for number, (key, value) in enumerate(CASES[part::PARTS]):
            with holding(store, key, value):
                faults += read_faults(client, key, f"u{number:03d}")
                faults += change_faults(client, key, store)
    assert not faults, "\n".join(map(str, faults))
    until(lambda: client.recommend(USER)["warnings"] == [])
