"""Which version is live, by command: one transaction each, and pins that hold."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from model.registry.keys import KeySpace
from tests.waiting import PATIENCE_SECONDS, until
from training.publish import PublishPolicy, live_version, publish_artifact
from training.publish.connection import LockLostError, UnknownVersionError
from training.publish.lock import RetrainLock
from training.publish.registry import Registry

KEYS = KeySpace()


@pytest.fixture
def registry(client: redis.Redis) -> Registry:
    return Registry(client, KEYS)


@pytest.mark.usefixtures("published")
def test_models_are_listed_with_their_roles(command: Callable[..., tuple[int, str]]) -> None:
    command("pin")
    status, out = command("models")
    assert status == 0
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [(row[0], row[3:]) for row in rows] == [
        ("v3", ["current,", "pinned"]),
        ("v2", ["previous"]),
        ("v1", []),
    ]
    status, out = command("models", "--json")
    assert [(each["version"], each["roles"]) for each in json.loads(out)] == [
        ("v3", ["current", "pinned"]),
        ("v2", ["previous"]),
        ("v1", []),
    ]


def test_an_early_model_is_listed_as_one(
    command: Callable[..., tuple[int, str]], artifact_of: Callable[..., Path], redis_url: str
) -> None:
    publish_artifact(artifact_of("v1", early=True), redis_url)
    _, out = command("models")
    assert out.splitlines()[1].split()[3:] == ["current,", "early"]
    _, out = command("models", "--json")
    assert json.loads(out)[0]["early"] is True


@pytest.mark.usefixtures("published")
def test_a_roll_back_holds_until_it_is_lifted(
    command: Callable[..., tuple[int, str]],
    artifact_of: Callable[..., Path],
    redis_url: str,
    client: redis.Redis,
) -> None:
    with client.pubsub() as heard:
        heard.subscribe(KEYS.events)
        heard.get_message(timeout=PATIENCE_SECONDS)
        status, out = command("rollback")
        assert heard.get_message(timeout=PATIENCE_SECONDS)["data"] == b"v2"
    assert (status, out.split(";")[0]) == (0, "v2 is live and pinned, v3 was left")
    assert client.mget(KEYS.current, KEYS.previous, KEYS.pinned) == [b"v2", b"v3", b"v2"]

    said: list[str] = []
    publish_artifact(artifact_of("v4"), redis_url, report=said.append)
    assert live_version(redis_url) == "v2"
    assert "v4 is stored" in said[-1]
    assert "v2 is pinned and stays live" in said[-1]

    status, out = command("rollback")
    assert status == 1
    assert "v2 is pinned already" in out
    assert live_version(redis_url) == "v2"

    assert command("promote", "v4") == (0, "v4 is live\n")
    assert client.get(KEYS.pinned) is None
    publish_artifact(artifact_of("v5"), redis_url)
    assert live_version(redis_url) == "v5"


@pytest.mark.usefixtures("published")
def test_a_pin_is_lifted(
    command: Callable[..., tuple[int, str]], artifact_of: Callable[..., Path], redis_url: str
) -> None:
    assert command("promote", "v1", "--pin") == (0, "v1 is live and pinned\n")
    assert command("unpin") == (0, "v1 is no longer pinned\n")
    assert command("unpin") == (0, "nothing was pinned\n")
    publish_artifact(artifact_of("v4"), redis_url)
    assert live_version(redis_url) == "v4"


def test_nothing_to_go_back_to(
    command: Callable[..., tuple[int, str]], artifact_of: Callable[..., Path], redis_url: str
) -> None:
    assert command("pin") == (1, "error: nothing is live yet, so there is nothing to pin\n")
    assert command("rollback")[0] == 1
    publish_artifact(artifact_of("v1"), redis_url)
    status, out = command("rollback")
    assert (status, out) == (1, "error: there is no version before the live one\n")
    status, out = command("promote", "v9")
    assert status == 1
    assert "no version 'v9'" in out
    assert live_version(redis_url) == "v1"


@pytest.mark.usefixtures("published")
def test_a_pinned_version_is_never_retired(
    registry: Registry, artifact_of: Callable[..., Path], redis_url: str, client: redis.Redis
) -> None:
    registry.apply(lambda state: state.activate("v1", datetime.now(UTC), pin=True))
    for version in ("v4", "v5", "v6"):
        publish_artifact(
            artifact_of(version), redis_url, policy=PublishPolicy(keep=1, grace_seconds=0)
        )
    assert live_version(redis_url) == "v1"
    assert client.exists(KEYS.manifest("v1")) == 1
    assert {x.version for x in registry.versions()} == {"v1", "v3", "v6"}
    with pytest.raises(UnknownVersionError):
        registry.apply(lambda state: state.activate("v2", datetime.now(UTC), pin=False))


def test_a_retraining_that_lost_its_lock_cannot_publish(
    artifact_of: Callable[..., Path], redis_url: str, client: redis.Redis
) -> None:
    publish_artifact(artifact_of("v1"), redis_url)
    with RetrainLock(client, KEYS, lock_seconds=30) as stale:
        client.delete(KEYS.retrain_lock)
        with RetrainLock(client, KEYS, lock_seconds=30) as fresh:
            with pytest.raises(LockLostError, match="retraining's lock"):
                publish_artifact(artifact_of("v2"), redis_url, within=stale)
            assert live_version(redis_url) == "v1"
            publish_artifact(artifact_of("v3"), redis_url, within=fresh)
    assert live_version(redis_url) == "v3"


def test_a_lock_is_renewed_from_beside(client: redis.Redis) -> None:
    with RetrainLock(client, KEYS, lock_seconds=600) as lock, lock.renewed(every_seconds=0.01):
        for _ in range(3):
            client.expire(KEYS.retrain_lock, 300)
            until(lambda: client.ttl(KEYS.retrain_lock) > 300)
            assert client.get(KEYS.retrain_lock) == lock.token.encode()
