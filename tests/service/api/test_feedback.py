"""Feedback goes to training once, and to `exclude_seen` at once."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from model.registry.keys import KeySpace
from model.registry.records import EVENT_FIELD, FeedbackEvent

KEYS = KeySpace()
_number = itertools.count()


def event(**changes: Any) -> dict[str, Any]:
    """A click of its own, unless told otherwise."""
    return {
        "event_id": f"e{next(_number)}",
        "user_id": "u001",
        "item_id": "i001",
        "type": "click",
        "timestamp": "2026-01-01T12:00:00Z",
    } | changes


@pytest.fixture
def client(redis_url, artifact, publish, serving, following, until):
    publish(redis_url, artifact)
    with serving(following(feedback_capacity=20, recent_items=5)) as client:
        until(client.ready)
        yield client


@pytest.fixture
def stream(valkey_server):
    """What waits for training, decoded as training decodes it."""

    def events() -> list[FeedbackEvent]:
        with valkey_server.client() as redis:
            entries = redis.xrange(KEYS.feedback)
        return [FeedbackEvent.model_validate_json(e[EVENT_FIELD.encode()]) for _, e in entries]

    return events


def report(client, *events: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/v1/feedback", json={"events": list(events)})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_events_reach_the_stream_as_they_were_reported(client, stream) -> None:
    sent = event(model_version="v1", variant="champion", rank=3)
    receipt = report(client, sent, event(type="purchase", timestamp="2026-01-01T13:00:00+02:00"))
    assert (receipt["accepted"], receipt["duplicates"], receipt["missing_ids"]) == (2, 0, [])
    second, first = stream()  # by their timestamps
    kept = json.loads(first.model_dump_json(exclude={"received_at"}, exclude_none=True))
    assert kept == sent
    assert second.timestamp == datetime(2026, 1, 1, 11, tzinfo=UTC)
    assert abs(first.received_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_what_is_reported_again_is_kept_once(client, stream) -> None:
    one, two = event(), event()
    assert report(client, one, one)["duplicates"] == 1
    receipt = report(client, one, two)
    assert (receipt["accepted"], receipt["duplicates"]) == (1, 1)
    assert [kept.event_id for kept in stream()] == [one["event_id"], two["event_id"]]
    assert client.metric('magnet_feedback_events_total{result="accepted"}') == 2
    assert client.metric('magnet_feedback_events_total{result="duplicate"}') == 2
    assert client.metric("magnet_feedback_waiting_events") == 2


@pytest.mark.parametrize("user_id", ["u001", "nobody", "a {tag} of: *"])
def test_exclude_seen_knows_from_the_next_request_on(client, user_id: str) -> None:
    def best(**more: Any) -> list[str]:
        body = {"user_id": user_id, "k": 5} | more
        answer = client.post("/v1/recommendations", json=body).json()
        return [item["item_id"] for item in answer["items"]]

    first, second, *_ = best()
    report(client, event(user_id=user_id, item_id=first, type="view"))
    report(client, event(user_id=user_id, item_id=second, type="impression"))
    assert best()[0] == second
    assert first not in best(k=50)
    assert first in best(k=50, exclude_seen=False)
    later = best(k=50)[-5:]
    report(client, *(event(user_id=user_id, item_id=item, type="view") for item in later))
    assert best()[0] == first, "only the newest five are remembered"


def test_an_explanation_says_that_an_item_was_just_seen(client) -> None:
    (item,) = client.recommend("u001", k=1)["items"]
    path = f"/v1/users/u001/explanations/{item['item_id']}"
    assert client.get(path).json()["seen"] is False
    report(client, event(item_id=item["item_id"]))
    assert client.get(path).json()["seen"] is True


def test_what_the_model_does_not_know_is_kept_and_named(client, stream) -> None:
    receipt = report(client, event(user_id="new"), event(item_id="fresh"), event(user_id="new"))
    assert receipt["accepted"] == 3
    assert receipt["missing_ids"] == ["new", "fresh"]
    assert len(stream()) == 3


def test_a_full_stream_refuses_a_call_whole_and_drops_nothing(client, stream) -> None:
    known = event()
    report(client, known, *(event() for _ in range(17)))
    answer = client.post("/v1/feedback", json={"events": [event(), event(), event()]})
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:magnet:problem:feedback-full"
    assert "18 events wait" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) > 0
    assert len(stream()) == 18
    assert client.metric('magnet_feedback_events_total{result="refused"}') == 3
    assert report(client, event(), known, event())["accepted"] == 2


def test_memory_is_bounded_while_users_come_and_go(client, valkey_server) -> None:
    report(client, *(event(user_id="u002", item_id=f"i{row:03d}") for row in range(10)))
    with valkey_server.client() as redis:
        assert redis.zcard(KEYS.live("u002")) == 5
        assert 0 < redis.ttl(KEYS.live("u002")) <= 30 * 24 * 3600


def test_a_server_without_memory_takes_all_of_a_call_or_nothing(client, valkey_server) -> None:
    with valkey_server.client() as redis:
        redis.config_set("maxmemory", 1)
        try:
            answer = client.post("/v1/feedback", json={"events": [event()]})
        finally:
            redis.config_set("maxmemory", 0)
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:magnet:problem:store-unavailable"
        assert int(answer.headers["retry-after"]) > 0
        assert redis.exists(KEYS.feedback, KEYS.feedback_ids) == 0
    assert report(client, event())["accepted"] == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "clik"}, "body.events.0.type"),
        ({"timestamp": "2026-01-01T12:00:00"}, "body.events.0.timestamp"),
        *[
            ({"timestamp": misread}, "body.events.0.timestamp")
            for misread in ("20261129", "2026", "1700000000", "2026-01-01", 1700000000, True, None)
        ],
        ({"timestamp": "2126-01-01T12:00:00Z"}, "events.0.timestamp"),
        ({"timestamp": "1969-12-31T23:59:59Z"}, "events.0.timestamp"),
        ({"rank": 0}, "body.events.0.rank"),
        ({"price": 3}, "body.events.0.price"),
    ],
)
def test_one_bad_event_refuses_the_call(client, stream, changes, field: str) -> None:
    answer = client.post("/v1/feedback", json={"events": [event(**changes), event()]})
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    if field == "body.events.0.timestamp":
        assert "such as 2026-01-01T12:00:00Z" in answer.json()["detail"]
    assert stream() == []


def test_a_call_is_bounded(client) -> None:
    for events in ([], [event()] * 1001):
        assert client.post("/v1/feedback", json={"events": events}).status_code == 422


def test_a_folder_keeps_no_feedback(disk_client) -> None:
    answer = disk_client.post("/v1/feedback", json={"events": [event()]})
    assert answer.status_code == 501
    assert "REDIS_URL" in answer.json()["detail"]


def test_a_waiting_event_takes_no_more_of_redis_than_documented(
    redis_url, artifact, publish, serving, following, until, valkey_server
) -> None:
    publish(redis_url, artifact)
    with serving(following(feedback_capacity=2_000)) as client:
        until(client.ready)
        for _ in range(20):
            report(client, *(event(event_id=str(uuid4())) for _ in range(100)))
    with valkey_server.client() as redis:
        keys = (KEYS.feedback, KEYS.feedback_ids)
        taken = sum(redis.memory_usage(key, samples=0) for key in keys)
    assert 250 < taken / 2_000 < 500
