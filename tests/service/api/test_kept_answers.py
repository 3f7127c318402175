"""Answers that are given again: the same lists, counted as others, bounded, forgotten in time."""

from contextlib import ExitStack
from typing import Any

import pytest

from service.ops.settings import Settings
from service.recommend.resolution import STALE

VARYING = ("request_id", "took_ms")


def asked(client, result: str) -> float:
    return float(client.metric(f'magnet_kept_answers_total{{result="{result}"}}'))


def content(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in VARYING}


def test_what_has_not_changed_is_said_again(client) -> None:
    first, again = client.recommend("u000", k=5), client.recommend("u000", k=5)
    assert (asked(client, "miss"), asked(client, "hit")) == (1, 1)
    assert content(first) == content(again)
    assert first["request_id"] != again["request_id"]
    assert list(again)[:2] == [*VARYING]
    client.recommend("u000", k=6)
    client.recommend("u001", k=5)
    assert (asked(client, "miss"), asked(client, "hit")) == (3, 1)


def test_all_routes_of_lists_keep_them(client) -> None:
    body = {"user_id": "u000", "k": 5}
    single = client.post("/v1/recommendations", json=body).json()
    batch = client.post("/v1/recommendations:batch", json={"requests": [body, body]}).json()
    assert [content(single)] * 2 == batch["responses"]
    assert content(client.recommend("u000", k=5)) == content(single)
    assert (asked(client, "miss"), asked(client, "hit")) == (1, 3)
    ranked = {"user_id": "u000", "items": ["i003", "i001"]}
    first, again = (client.post("/v1/score", json=ranked).json() for _ in range(2))
    assert content(first) == content(again)
    assert (asked(client, "miss"), asked(client, "hit")) == (2, 4)


def test_a_list_counts_whenever_it_is_given(client) -> None:
    def counted() -> list[float]:
        samples = ('served_items_total{source="model"', "served_expert_weight_total", "answer_sec")
        lines = client.get("/metrics").text.splitlines()
        return [
            sum(
                float(line.rpartition(" ")[2])
                for line in lines
                if line.startswith(f"magnet_{sample}") and "_sum" not in line
            )
            for sample in (*samples[:2], "answer_seconds_count")
        ]

    client.recommend("u000", k=5)
    once = counted()
    client.recommend("u000", k=5)
    assert asked(client, "hit") == 1
    assert counted() == pytest.approx([2 * number for number in once])
    for _ in range(2):
        client.recommend("nobody", k=5)
    assert client.metric('magnet_fallbacks_total{reason="unknown_user"') == 2


def test_they_take_no_more_memory_than_they_may(serving, until, redis_url, following, client):
    with serving(following(kept_answers_bytes=40_000)) as small:
        until(small.ready)
        for number in range(20):
            small.recommend(f"u{number:03d}", k=20)
        assert 0 < small.metric("magnet_kept_answers_bytes") <= 40_000
        assert small.metric("magnet_kept_answers_evictions_total") > 0
        small.recommend("u019", k=20)
        assert asked(small, "hit") == 1
        small.recommend("u000", k=20)
        assert asked(small, "hit") == 1
    with serving(following(kept_answers_bytes=1_000)) as tiny:  # less than one
        until(tiny.ready)
        assert content(tiny.recommend("u000")) == content(tiny.recommend("u000"))
        assert tiny.metric("magnet_kept_answers_bytes") == 0


def test_none_is_kept_if_the_setting_says_so(serving, until, redis_url, following, client) -> None:
    with serving(following(kept_answers_bytes=0)) as plain:
        until(plain.ready)
        assert content(plain.recommend("u000")) == content(plain.recommend("u000"))
        assert asked(plain, "hit") == asked(plain, "miss") == 0


def test_whoever_is_erased_is_in_no_kept_answer(serving, until, following, client) -> None:
    """Also in a worker that is not asked for them again."""
    with serving(following()) as other:
        until(other.ready)
        for each in (client, other):
            each.recommend("u001")
            each.post("/v1/recommendations", json={"session_items": ["i001"]})
            left = each.metric("magnet_kept_answers_bytes")
            each.recommend("u000")
            each.recommend("u000", k=3)
            assert each.metric("magnet_kept_answers_bytes") > left > 0
        assert client.delete("/v1/users/u000").status_code == 202
        for each in (client, other):
            until(lambda each=each: each.metric("magnet_kept_answers_bytes") == left)
        client.recommend("u000")  # who may come back, but is not kept
        assert client.metric("magnet_kept_answers_bytes") == left
        hits = asked(client, "hit")
        client.recommend("u001")
        assert asked(client, "hit") == hits + 1, "nobody else's is forgotten"


def test_what_is_said_while_redis_is_away_is_not_kept(
    serving, until, own_server, publish, artifact
) -> None:
    publish(own_server.connection_url, artifact)
    settings = Settings(redis_url=own_server.connection_url, poll_seconds=0.05)
    with ExitStack() as stack:
        client = stack.enter_context(serving(settings))
        until(client.ready)
        before = client.recommend("u000")
        own_server.stop()
        for _ in range(2):
            assert STALE in client.recommend("u000")["warnings"]
        assert (asked(client, "hit"), asked(client, "miss")) == (0, 1)
        own_server.start()
        publish(own_server.connection_url, artifact)
        until(lambda: client.recommend("u000")["warnings"] == [])
        assert content(client.recommend("u000")) == content(before)
        assert asked(client, "hit") >= 1
