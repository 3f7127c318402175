"""The service's and the trainer's drivers of the version state machine, on a real server.

Every key and value is literal: what is in Redis is also a contract between releases. A release may
find what another wrote, and both may run beside each other during an upgrade.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from model.artifact.files import Artifact
from model.artifact.stored import Chunk, layout_of
from model.registry.keys import KeySpace
from model.registry.state import Change, State
from service.ops.settings import Settings
from service.schemas.errors import CanaryConflict, RequestRefused, UnknownVersion
from service.store import registry as service_registry
from service.store.store import RedisStore
from tests.registry_table import CANARY, ENDED, LIVE, SHARED, TRAINING_ONLY, VERSIONS, Row
from tests.waiting import PATIENCE_SECONDS
from training.publish import registry as training_registry
from training.publish.connection import PublishError, UnknownVersionError

ROLES = ("current", "previous", "pinned", "canary")


def as_training(url: str, does: str, *arguments: Any, **options: Any) -> Any:
    with redis.Redis.from_url(url) as client:
        registry = training_registry.Registry(client, KeySpace())
        if does == "state":
            return registry.state()
        if does != "unpin":
            options["at"] = datetime.now(UTC)
        return registry.apply(lambda state: getattr(state, does)(*arguments, **options))


def as_service(url: str, does: str, *arguments: Any, **options: Any) -> Any:
    async def call() -> Any:
        store = RedisStore(Settings(redis_url=url))
        try:
            return await getattr(service_registry.Registry(store), does)(*arguments, **options)
        finally:
            await store.close()

    return asyncio.run(call())


DRIVERS = {"training": as_training, "service": as_service}
Driver = Callable[..., Any]


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def store_versions(client: redis.Redis, make_artifact: Callable[..., Artifact]) -> None:
    """Writes v0 (which is not listed) to v3, as `magnet publish` of any release does."""
    pipe = client.pipeline(transaction=False)
    for version in ("v0", *VERSIONS):
        artifact = make_artifact(version, 1)
        manifest = artifact.manifest
        blobs = {name: array.tobytes() for name, array in artifact.tensors.items()}
        for name, data in (blobs | dict(artifact.files)).items():
            for index, (start, stop) in enumerate(layout_of(manifest, name).spans()):
                pipe.set(f"mg:default:v:{version}:{name}:{index}", data[start:stop])
        pipe.set(f"mg:default:v:{version}:manifest", manifest.model_dump_json())
    pipe.execute()


def hold(client: redis.Redis, row: Row) -> None:
    for name, value in row.pointers.items():
        client.set(f"mg:{{default}}:{name}", value)
    client.zadd("mg:{default}:versions", row.versions)
    client.hset("mg:{default}:canary_answers", "v2", "12")


def held(client: redis.Redis) -> dict[str, str]:
    found = {name: client.get(f"mg:{{default}}:{name}") for name in ROLES}
    return {name: value for name, value in found.items() if value is not None}


ROWS = [("training", row) for row in SHARED + TRAINING_ONLY] + [("service", row) for row in SHARED]


@pytest.mark.usefixtures("store_versions")
@pytest.mark.parametrize(
    ("driver", "row"), ROWS, ids=[f"{driver}: {row.does}: {row.name}" for driver, row in ROWS]
)
def test_every_transition(driver: str, row: Row, redis_url: str, client: redis.Redis) -> None:
    hold(client, row)
    before = held(client)
    events = client.pubsub(ignore_subscribe_messages=True)
    events.subscribe("mg:{default}:events")
    events.get_message(timeout=PATIENCE_SECONDS)
    events.get_message(timeout=0.01)

    if row.refused:
        with pytest.raises((PublishError, RequestRefused)) as refusal:
            DRIVERS[driver](redis_url, row.does, *row.arguments, **row.options)
        assert row.refused in str(refusal.value)
        unknown = "there is no version" in str(refusal.value)
        assert isinstance(refusal.value, UnknownVersion | UnknownVersionError) or not unknown
    else:
        DRIVERS[driver](redis_url, row.does, *row.arguments, **row.options)

    expected = {**before, **row.leads_to}
    after = held(client)
    record, recorded = after.pop("canary", None), expected.pop("canary", None)
    assert after == {name: value for name, value in expected.items() if value is not None}
    if row.canary is None:
        assert record == recorded
    else:
        fields = json.loads(record or "{}")
        assert row.canary.items() <= fields.items()
        assert list(fields) == ["version", "share", "started_at", "ended_at", "outcome", "reason"]
        assert (fields["ended_at"] is None) == (fields["outcome"] is None)
    assert client.zrange("mg:{default}:versions", 0, -1, withscores=True) == sorted(
        row.versions.items(), key=lambda pair: pair[1]
    )
    message = events.get_message(timeout=PATIENCE_SECONDS if row.announces else 0.05)
    assert (message["data"] if message else None) == row.announces
    assert events.get_message(timeout=0.01) is None
    events.close()


def scar(client: redis.Redis, name: str) -> str:
    """Damages v2; returns part of what is said about it."""
    manifest, chunk = "mg:default:v:v2:manifest", "mg:default:v:v2:user_embeddings:0"
    head = "mg:default:v:v2:head.onnx:0"
    match name:
        case "no manifest":
            client.delete(manifest)
            return "its manifest is not in Redis; publish it again"
        case "no JSON":
            client.set(manifest, "{")
            return "its manifest: manifest: Invalid JSON"
        case "another's manifest":
            client.set(manifest, client.get("mg:default:v:v1:manifest"))
            return "its manifest is that of version v1"
        case "a chunk less":
            client.delete(chunk)
            return "chunk 0 of 'user_embeddings' is missing; publish it again"
        case "a byte less":
            length = client.strlen(head)
            client.eval(
                "redis.call('SET', KEYS[1], redis.call('GETRANGE', KEYS[1], 0, -2))", 1, head
            )
            return f"chunk 0 of 'head.onnx' has {length - 1} bytes instead of {length}"
        case "another byte":
            client.setrange(head, 7, "~~~~")
            return "'head.onnx'"
    raise AssertionError(name)


@pytest.mark.usefixtures("store_versions")
@pytest.mark.parametrize(
    "damage",
    ["no manifest", "no JSON", "another's manifest", "a chunk less", "a byte less", "another byte"],
)
@pytest.mark.parametrize(
    ("driver", "call"),
    [
        ("training", ("activate", "v2")),
        ("service", ("activate", "v2")),
        ("training", ("start_canary", "v2", 0.1)),
        ("service", ("start_canary", "v2", 0.1)),
        ("training", ("roll_back",)),
    ],
)
def test_a_version_that_is_not_whole_serves_nobody(
    driver: str, call: tuple[Any, ...], damage: str, redis_url: str, client: redis.Redis
) -> None:
    hold(client, SHARED[0])
    said = scar(client, damage)
    options = {"pin": True} if call[0] == "activate" else {}
    with pytest.raises((UnknownVersion, UnknownVersionError)) as refusal:
        DRIVERS[driver](redis_url, *call, **options)
    assert "version 'v2' is not whole: " in str(refusal.value)
    assert said in str(refusal.value)
    assert held(client) == LIVE
    # Nor is it pinned when it is live: a replica that starts could not load it.
    client.mset({"mg:{default}:current": "v2", "mg:{default}:previous": "v1"})
    for pin in (True, False):
        with pytest.raises((UnknownVersion, UnknownVersionError)):
            DRIVERS[driver](redis_url, "activate", "v2", pin=pin)
    assert "pinned" not in held(client)


@pytest.mark.usefixtures("store_versions")
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_version_that_is_pruned_once_it_has_been_checked_is_refused(
    driver: str, redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(client, SHARED[0])

    def check_length(chunk: Chunk, length: int) -> None:
        client.zrem("mg:{default}:versions", "v1")

    monkeypatch.setattr(Chunk, "check_length", check_length)
    with pytest.raises((UnknownVersion, UnknownVersionError), match="there is no version 'v1'"):
        DRIVERS[driver](redis_url, "activate", "v1", pin=False)
    assert held(client) == LIVE


@pytest.mark.parametrize("driver", DRIVERS)
def test_whoever_ends_a_canary_first_is_not_overwritten(
    driver: str, redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(client, SHARED[0])
    client.set("mg:{default}:canary", CANARY)
    others = iter([ENDED])
    end_canary = State.end_canary

    def late(state: State, *arguments: Any, **options: Any) -> Change:
        """Somebody else ends it between what this transaction has read and what it writes."""
        change = end_canary(state, *arguments, **options)
        if (ended := next(others, None)) is not None:
            client.set("mg:{default}:canary", ended)
        return change

    monkeypatch.setattr(State, "end_canary", late)
    DRIVERS[driver](redis_url, "end_canary", "rolled_back", "second")
    assert client.get("mg:{default}:canary") == ENDED


def test_each_refusal_has_its_own_status(redis_url: str, client: redis.Redis) -> None:
    hold(client, SHARED[0])
    with pytest.raises(CanaryConflict):
        as_service(redis_url, "start_canary", "v3", 0.1)
    with pytest.raises(UnknownVersion):
        as_service(redis_url, "start_canary", "v9", 0.1)


def test_both_read_the_same_state(redis_url: str, client: redis.Redis) -> None:
    hold(client, SHARED[0])
    client.set("mg:{default}:canary", CANARY)
    states = [driver(redis_url, "state") for driver in DRIVERS.values()]
    assert isinstance(states[0], State)
    assert states[0] == states[1]
    assert states[0].canary_answers == 12
    assert (states[0].live, states[0].previous, states[0].pinned) == ("v3", "v2", None)
    assert states[0].newest_first == ["v3", "v2", "v1"]
