"""What a user has just done is in their next list, whoever took it in and whoever answers."""

import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from model.registry.keys import KeySpace
from model.runtime.profile import ProfileMaker
from model.runtime.scorer import OnnxScorer

KEYS = KeySpace()
_number = itertools.count()


def report(client, user_id: str, *item_ids: str, kind: str = "click") -> list[dict[str, Any]]:
    events = [
        {
            "event_id": f"live{next(_number)}",
            "user_id": user_id,
            "item_id": item_id,
            "type": kind,
            "timestamp": f"2026-01-01T12:00:{second:02d}Z",
        }
        for second, item_id in enumerate(item_ids)
    ]
    # Reported in any order: the timestamps tell.
    answer = client.post("/v1/feedback", json={"events": events[::-1]})
    assert answer.status_code == 200, answer.text
    return events


def recommend(client, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/recommendations", json={"k": 20} | body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def scores(answer: dict[str, Any]) -> dict[str, float]:
    return {item["item_id"]: item["score"] for item in answer["items"]}


@pytest.fixture(scope="module")
def retrained(make_artifact):
    """A model that was retrained before any of the events of these tests arrive."""
    artifact = make_artifact("v1", 1)
    manifest = artifact.manifest.model_copy(
        update={"events_until": datetime(2026, 1, 1, tzinfo=UTC)}
    )
    return replace(artifact, manifest=manifest)


@pytest.fixture
def replicas(redis_url, retrained, publish, serving, following, until):
    """Two replicas of one service."""
    publish(redis_url, retrained)
    with serving(following()) as one, serving(following()) as other:
        until(one.ready)
        until(other.ready)
        yield one, other


def test_a_visitor_who_clicks_is_served_like_a_session_by_every_replica(replicas) -> None:
    one, other = replicas
    assert recommend(other, user_id="visitor")["fallback"] == "popular"
    clicked = ["i003", "i040", "i061"]
    report(one, "visitor", *clicked)
    answer = recommend(other, user_id="visitor")
    assert (answer["fallback"], answer["live_events"], answer["warnings"]) == (None, 3, [])
    assert {item["source"] for item in answer["items"]} == {"live"}
    assert all(item["experts"] for item in answer["items"])
    session = recommend(other, session_items=clicked)
    assert scores(answer) == scores(session)
    assert session["live_events"] == 0
    assert other.metric('magnet_served_items_total{source="live"}') == 20


def test_a_known_users_clicks_join_their_history(replicas, retrained) -> None:
    one, other = replicas
    tensors = retrained.tensors
    profiles = ProfileMaker.of(tensors, recency_power=0.0, item_item_deviation=0.3)
    start, length = tensors["seen_offsets"][4], tensors["history_lengths"][4]
    history = tensors["seen_items"][start : start + length]
    new = [row for row in (3, 40, 61) if row not in history]
    before = recommend(other, user_id="u004")
    report(one, "u004", *(f"i{row:03d}" for row in new))
    answer = recommend(other, user_id="u004")
    assert {item["source"] for item in answer["items"]} == {"model"}
    assert (before["live_events"], answer["live_events"]) == (0, len(new))
    assert scores(answer) != scores(before)

    longer = profiles.of_history(np.concatenate([history, new]))
    free = tensors["user_embeddings"][4] - profiles.of_history(history).vector_VMD
    wanted = replace(longer, vector_VMD=longer.vector_VMD + free)
    for item in answer["items"][:5]:
        explained = other.get(f"/v1/users/u004/explanations/{item['item_id']}").json()
        assert explained["score"] == pytest.approx(item["score"], abs=1e-6)
        assert (explained["rank"], explained["live_events"]) == (item["rank"], len(new))
    rows = np.array([int(item["item_id"][1:]) for item in answer["items"]])
    exact = OnnxScorer(retrained.files, tensors).score(wanted, rows)
    assert list(scores(answer).values()) == pytest.approx(exact.tolist(), abs=1e-5)


def test_an_explanation_names_what_was_just_clicked(replicas) -> None:
    one, other = replicas
    assert one.get("/v1/users/visitor/explanations/i010").status_code == 404
    report(one, "visitor", "i003", "i040")
    best, *_ = recommend(other, user_id="visitor")["items"]
    explained = other.get(f"/v1/users/visitor/explanations/{best['item_id']}").json()
    assert (explained["source"], explained["live_events"]) == ("live", 2)
    assert explained["score"] == pytest.approx(best["score"], abs=1e-6)
    assert {each["item_id"] for each in explained["history"]} <= {"i003", "i040"}
    assert "latest events that contribute most: Title" in explained["sentence"]
    assert explained["beyond_history"] == pytest.approx(0, abs=1e-6)


def test_events_are_half_and_the_session_half(replicas) -> None:
    one, other = replicas
    report(one, "visitor", "i003", "i040")
    both = recommend(other, user_id="visitor", session_items=["i061"])
    assert {item["source"] for item in both["items"]} == {"live"}
    assert both["live_events"] == 2
    assert scores(both) != scores(recommend(other, session_items=["i003", "i040", "i061"]))
    assert not {"i003", "i040", "i061"} & scores(both).keys()


@pytest.mark.parametrize("user_id", ["u004", "visitor"])
@pytest.mark.parametrize("kind", ["dislike", "hide", "return"])
def test_what_is_turned_down_takes_like_items_down_by_name(replicas, user_id, kind) -> None:
    one, other = replicas
    report(one, user_id, "i003", "i040")
    before = recommend(other, user_id=user_id, k=60)
    unwanted = before["items"][0]
    report(one, user_id, unwanted["item_id"], kind=kind)
    after = recommend(other, user_id=user_id, k=60)
    assert after["live_events"] == before["live_events"] + 1
    assert unwanted["item_id"] not in scores(after)
    old, new = scores(before), scores(after)
    assert all(new[item] <= old[item] + 1e-6 for item in new.keys() & old.keys())
    lowered = [item for item in after["items"] if item["adjustments"]]
    assert len(lowered) > 10
    for item in lowered:
        (adjustment,) = item["adjustments"]
        assert (adjustment["kind"], adjustment["name"]) == ("dislike", unwanted["title"])
        total = item["bias"] + sum(each["contribution"] for each in item["experts"])
        assert item["score"] == pytest.approx(total + adjustment["points"], abs=1e-5)
    item = lowered[0]
    explained = other.get(f"/v1/users/{user_id}/explanations/{item['item_id']}").json()
    assert explained["adjustments"] == item["adjustments"]
    assert explained["score"] == pytest.approx(item["score"], abs=1e-5)
    assert explained["rank"] == item["rank"]
    assert f"because of dislikes: {unwanted['title']}." in explained["sentence"]


@pytest.mark.parametrize("user_id", ["u004", "visitor"])
def test_an_undo_takes_back_whatever_was_done(replicas, user_id: str) -> None:
    one, other = replicas
    before = recommend(other, user_id=user_id, k=80)
    for kind in ("click", "dislike", "undo"):
        report(one, user_id, "i041", kind=kind)
        assert (recommend(other, user_id=user_id, k=80) == before) is False
    after = recommend(other, user_id=user_id, k=80)
    assert scores(after) == scores(before)
    assert (after["live_events"], after["fallback"]) == (0, before["fallback"])


def test_a_call_that_is_sent_again_changes_nothing(replicas) -> None:
    one, other = replicas
    before = scores(recommend(other, user_id="u004", k=80))
    clicks = report(one, "u004", "i041", "i042")
    report(one, "u004", "i041", "i042", kind="undo")
    answer = other.post("/v1/feedback", json={"events": clicks})
    assert answer.json()["duplicates"] == 2
    assert scores(recommend(other, user_id="u004", k=80)) == before


def test_a_call_that_was_kept_in_part_is_mended_when_it_is_sent_again(
    replicas, valkey_server
) -> None:
    one, other = replicas
    clicks = report(one, "u004", "i041")
    with valkey_server.client() as redis:
        redis.delete(KEYS.live("u004"))
    assert recommend(other, user_id="u004")["live_events"] == 0
    one.post("/v1/feedback", json={"events": clicks})
    assert recommend(other, user_id="u004")["live_events"] == 1


def test_a_replicas_clock_that_goes_back_does_not_change_the_order(replicas, monkeypatch) -> None:
    one, other = replicas
    report(one, "visitor", "i041")
    now_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() - 3600 * 10**9)
    report(one, "visitor", "i041", kind="undo")
    assert recommend(other, user_id="visitor")["fallback"] == "popular"


def test_a_clock_of_redis_that_goes_back_does_not_change_the_order(replicas, valkey_server) -> None:
    one, other = replicas
    with valkey_server.client() as redis:
        ahead = time.time_ns() // 10**6 + 3600 * 1000
        redis.xadd(KEYS.feedback, {"event": "of an hour that has not come yet"}, id=f"{ahead}-7")
    for turn in range(3):
        report(one, "visitor", "i041", "i042")
        assert recommend(other, user_id="visitor")["live_events"] == 2, turn
        report(one, "visitor", "i042", "i041", kind="undo")
        assert recommend(other, user_id="visitor")["fallback"] == "popular", turn


def test_a_dislike_counts_beside_an_item_that_was_changed(replicas) -> None:
    one, other = replicas
    report(one, "u004", "i041", kind="dislike")
    before = scores(recommend(other, user_id="u004", k=80))
    assert one.patch("/v1/items/i050", json={"title": "Another"}).status_code == 200
    assert scores(recommend(one, user_id="u004", k=80)) == before


def test_an_item_of_the_history_can_be_taken_back(replicas) -> None:
    one, other = replicas
    (evidence, *_) = other.get("/v1/users/u004/explanations/i050").json()["history"]
    assert evidence["item_id"] not in scores(recommend(other, user_id="u004", k=80))
    report(one, "u004", evidence["item_id"], kind="undo")
    explained = other.get("/v1/users/u004/explanations/i050").json()
    assert explained["live_events"] == 1
    assert evidence["item_id"] not in [each["item_id"] for each in explained["history"]]
    assert evidence["item_id"] in scores(recommend(other, user_id="u004", k=80))


def test_without_redis_lists_say_that_events_are_missing(
    redis_url, retrained, publish, serving, following, until, proxy, valkey_server
) -> None:
    publish(redis_url, retrained)
    line = proxy(valkey_server.port)
    with serving(following()) as one, serving(following(line.url)) as other:
        until(one.ready)
        until(other.ready)
        report(one, "u004", "i003")
        assert recommend(other, user_id="u004")["live_events"] == 1
        line.cut()
        cached = recommend(other, user_id="u004")
        assert {item["source"] for item in cached["items"]} == {"model"}
        assert cached["live_events"] == 0
        assert any("events" in warning for warning in cached["warnings"])
        assert recommend(other, user_id="visitor")["fallback"] == "popular"
        body = {"event_id": "x", "user_id": "u004", "item_id": "i040", "type": "click"}
        body["timestamp"] = "2026-01-01T12:00:00Z"
        refused = other.post("/v1/feedback", json={"events": [body]})
        assert refused.status_code == 503
        line.mend()
        until(lambda: recommend(other, user_id="u004")["live_events"] == 1)
