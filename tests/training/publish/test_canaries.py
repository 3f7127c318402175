"""A canary by command and by publishing: one key, changed in transactions."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from model.registry.canary import Canary
from model.registry.keys import KeySpace
from tests.waiting import PATIENCE_SECONDS
from training.publish import PublishError, PublishPolicy, live_version, publish_artifact
from training.publish.connection import LockLostError
from training.publish.lock import PublishLock, RetrainLock
from training.publish.registry import Registry

KEYS = KeySpace()
Command = Callable[..., tuple[int, str]]


def latest(client: redis.Redis) -> Canary:
    canary = Canary.parse(client.get(KEYS.canary))
    assert canary is not None
    return canary


@pytest.mark.usefixtures("published")
def test_it_is_begun_listed_and_stopped(command: Command, client: redis.Redis) -> None:
    assert command("canary") == (0, "there has been no canary\n")
    assert command("canary", "--json") == (0, "null\n")
    with client.pubsub() as heard:
        heard.subscribe(KEYS.events)
        heard.get_message(timeout=PATIENCE_SECONDS)
        assert command("canary", "v2") == (0, "v2 serves 5.0% of the users\n")
        assert heard.get_message(timeout=PATIENCE_SECONDS)["data"] == b"v2"
    client.hset(KEYS.canary_answers, "v2", 123)
    status, out = command("models")
    assert status == 0
    assert "previous, canary" in next(row for row in out.splitlines() if row.startswith("v2"))
    assert out.splitlines()[-1].startswith("canary: v2, 5.0% of the users since ")
    assert out.endswith(" UTC, 123 answers\n")
    begun = latest(client).started_at
    told = json.loads(command("canary", "--json")[1])
    assert (told["version"], told["answers"], told["outcome"]) == ("v2", 123, None)
    assert command("canary", "v2", "--share", "0.2") == (0, "v2 serves 20.0% of the users\n")
    assert (latest(client).share, latest(client).started_at) == (0.2, begun)
    assert client.hget(KEYS.canary_answers, "v2") == b"123"
    assert command("canary", "--stop") == (0, "v2 is no canary any more\n")
    assert command("canary", "--stop") == (0, "no canary runs\n")
    assert "; stopped at " in command("canary")[1]
    assert command("canary", "v1")[0] == 0
    assert client.hgetall(KEYS.canary_answers) == {}
    assert client.get(KEYS.current) == b"v3"


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("v9",), "there is no version 'v9'"),
        (("v3",), "version 'v3' is live"),
        (("v2", "--share", "0"), "above 0 and at most 0.5, not 0"),
        (("v2", "--share", "0.7"), "above 0 and at most 0.5, not 0.7"),
        (("v2", "--share", "nan"), "above 0 and at most 0.5, not nan"),
    ],
)
def test_what_cannot_be_one_is_refused(
    command: Command, client: redis.Redis, words: tuple[str, ...], said: str
) -> None:
    status, out = command("canary", *words)
    assert status == 1
    assert said in out
    assert client.get(KEYS.canary) is None


@pytest.mark.usefixtures("published")
def test_a_pin_and_a_canary_exclude_each_other(command: Command, client: redis.Redis) -> None:
    command("pin")
    status, out = command("canary", "v2")
    assert status == 1
    assert "'v3' is pinned" in out
    command("unpin")
    command("canary", "v2")
    assert command("pin") == (0, "v3 is pinned\n")
    assert (latest(client).outcome, latest(client).reason) == ("superseded", "v3 was pinned")


@pytest.mark.usefixtures("published")
def test_to_promote_it_ends_it(command: Command, client: redis.Redis) -> None:
    command("canary", "v1")
    assert command("promote", "v1") == (0, "v1 is live\n")
    assert client.mget(KEYS.current, KEYS.previous) == [b"v1", b"v3"]
    assert latest(client).outcome == "promoted"
    ended = latest(client)
    command("promote", "v3")
    assert latest(client) == ended


@pytest.mark.usefixtures("published")
def test_going_back_and_publishing_end_it(
    command: Command, client: redis.Redis, artifact_of: Callable[..., Path], redis_url: str
) -> None:
    command("canary", "v1")
    command("rollback")
    assert (latest(client).outcome, latest(client).reason) == ("superseded", "v2 was pinned")
    command("unpin")
    command("canary", "v1")
    publish_artifact(artifact_of("v4"), redis_url)
    assert (latest(client).outcome, latest(client).reason) == ("superseded", "v4 went live")


def test_publishing_to_a_share(
    command: Command, client: redis.Redis, artifact_of: Callable[..., Path], redis_url: str
) -> None:
    policy = PublishPolicy(keep=1, grace_seconds=0, canary_share=0.1)
    publish_artifact(artifact_of("v1"), redis_url, policy=policy)
    assert live_version(redis_url) == "v1"  # there was nothing to stand beside
    second = artifact_of("v2")
    said: list[str] = []
    publish_artifact(second, redis_url, policy=policy, report=said.append)
    assert said[-1].startswith("v2 serves a share of the users")
    assert live_version(redis_url) == "v1"
    assert (latest(client).version, latest(client).share) == ("v2", 0.1)
    with pytest.raises(PublishError, match="'v2' is the canary already"):
        publish_artifact(artifact_of("v3"), redis_url, policy=policy)
    publish_artifact(second, redis_url, policy=policy)  # again, as after a lost answer
    assert latest(client).outcome is None
    command("pin")
    publish_artifact(artifact_of("v4"), redis_url, policy=policy, report=said.append)
    assert "v1 is pinned and stays live" in said[-1]
    assert latest(client).outcome == "superseded"


def start(registry: Registry, version: str) -> Canary:
    change = registry.apply(lambda state: state.start_canary(version, 0.1, datetime.now(UTC)))
    assert change.after.running is not None
    return change.after.running


def stop(registry: Registry) -> None:
    registry.apply(lambda state: state.end_canary("stopped", "enough", datetime.now(UTC)))


def promote(registry: Registry, canary: Canary, lock: RetrainLock) -> bool:
    return registry.apply(
        lambda state: state.promote_canary(canary, datetime.now(UTC)), lock
    ).happened


@pytest.mark.usefixtures("published")
def test_a_running_canary_is_never_retired(client: redis.Redis) -> None:
    registry = Registry(client, KEYS)
    tidy = PublishPolicy(keep=1, grace_seconds=0)
    start(registry, "v1")
    with PublishLock(client, KEYS, lock_seconds=30, wait_seconds=0) as lock:
        assert registry.sweep(tidy, lock) == []
        stop(registry)
        assert registry.sweep(tidy, lock) == ["v1"]


@pytest.mark.usefixtures("published")
def test_a_promotion_under_the_lock_takes_back_nothing(client: redis.Redis) -> None:
    registry = Registry(client, KEYS)
    canary = start(registry, "v2")
    with RetrainLock(client, KEYS, lock_seconds=30) as lock:
        stop(registry)
        assert not promote(registry, canary, lock)
        assert registry.state().live == "v3"
        again = start(registry, "v2")
        assert not promote(registry, canary, lock)  # that was another one
        assert promote(registry, again, lock)
        assert registry.state().live == "v2"
        assert latest(client).outcome == "promoted"
        client.set(KEYS.retrain_lock, "another")
        with pytest.raises(LockLostError):
            promote(registry, again, lock)
