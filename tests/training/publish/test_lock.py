"""One publisher at a time, and none whose lock has gone."""

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from redis.client import Pipeline

from model.registry.keys import KeySpace
from tests.waiting import PATIENCE_SECONDS
from training.publish import PublishPolicy, live_version, publish_artifact
from training.publish.connection import LockHeldError, LockLostError
from training.publish.lock import PublishLock
from training.publish.registry import Registry

KEYS = KeySpace()


def lock_on(client: redis.Redis, *, lock_seconds: float = 30.0, wait: float = 0.0) -> PublishLock:
    return PublishLock(client, KEYS, lock_seconds=lock_seconds, wait_seconds=wait)


def test_the_second_publisher_is_told_who_holds_the_lock(
    artifact_of: Callable[..., Path], redis_url: str, client: redis.Redis
) -> None:
    second = artifact_of("v2")
    with lock_on(client) as first:
        with pytest.raises(LockHeldError) as caught:
            publish_artifact(second, redis_url)
        assert first.token in str(caught.value)
        assert re.search(r"for (30|2\d) s more", str(caught.value))
    assert live_version(redis_url) is None


def test_two_at_once_take_turns(
    artifact_of: Callable[..., Path], redis_url: str, client: redis.Redis
) -> None:
    versions = [f"v{number}" for number in range(4)]
    folders = [artifact_of(version, seed) for seed, version in enumerate(versions)]
    failures: list[BaseException] = []

    def publish(folder: Path) -> None:
        try:
            publish_artifact(folder, redis_url, policy=PublishPolicy(wait_seconds=PATIENCE_SECONDS))
        except BaseException as error:  # noqa: BLE001  # handed to the main thread
            failures.append(error)

    threads = [threading.Thread(target=publish, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    order = [name.decode() for name in client.zrange(KEYS.versions, 0, -1)]
    assert sorted(order) == versions
    assert client.mget(KEYS.current, KEYS.previous) == [order[-1].encode(), order[-2].encode()]


def test_a_publisher_whose_lock_was_taken_over_changes_nothing(
    artifact_of: Callable[..., Path], redis_url: str, client: redis.Redis
) -> None:
    publish_artifact(artifact_of("v1"), redis_url)

    def take_over(line: str) -> None:
        client.set(KEYS.lock, "somebody else")

    with pytest.raises(LockLostError, match="publish again"):
        publish_artifact(artifact_of("v2"), redis_url, report=take_over)
    assert live_version(redis_url) == "v1"
    assert client.get(KEYS.lock) == b"somebody else"


def test_a_stale_token_cannot_move_the_pointer(client: redis.Redis) -> None:
    with lock_on(client) as stale:
        client.delete(KEYS.lock)
        with lock_on(client) as fresh:
            assert stale.token != fresh.token
            with pytest.raises(LockLostError):
                Registry(client, KEYS).publish("v1", stale, PublishPolicy())
            assert client.exists(KEYS.current) == 0
            Registry(client, KEYS).publish("v2", fresh, PublishPolicy())
    assert client.get(KEYS.current) == b"v2"


def test_a_lock_that_runs_out_within_the_transaction_aborts_it(client: redis.Redis) -> None:
    def slow(pipe: Pipeline) -> None:
        time.sleep(0.2)
        pipe.multi()
        pipe.set(KEYS.current, "v1")

    with lock_on(client, lock_seconds=0.1) as lock, pytest.raises(LockLostError):
        lock.guard(slow)
    assert client.exists(KEYS.current) == 0


def test_a_lock_in_use_does_not_run_out(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lock_on(client, lock_seconds=300) as lock:
        client.expire(KEYS.lock, 30)
        lock.keep()
        assert client.ttl(KEYS.lock) <= 30, "it was renewed only now"
        monkeypatch.setattr(lock, "_renewed_at", time.monotonic() - 101)
        lock.keep()
        assert client.ttl(KEYS.lock) > 30
        assert client.get(KEYS.lock) == lock.token.encode()
    assert client.exists(KEYS.lock) == 0


def test_a_dead_publishers_lock_is_waited_for(client: redis.Redis) -> None:
    client.set(KEYS.lock, "dead", px=200)
    with lock_on(client, wait=PATIENCE_SECONDS) as lock:
        assert client.get(KEYS.lock) == lock.token.encode()
