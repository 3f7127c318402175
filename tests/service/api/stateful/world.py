"""The real parts: a Valkey server with an append-only file, and replicas on sockets."""

import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import redis

from deploy.local.servers import EmbeddedServer, embedded_server, free_port
from service.ops.settings import Settings
from training.publish import PublishPolicy, publish_artifact

KEPT = PublishPolicy(keep=100)
PATIENCE_SECONDS = 60
"""Whether an answer comes in time is measured elsewhere, on machines that do nothing else."""
Serving = Callable[[Settings], AbstractContextManager[Any]]


class World:
    """One store, and the replicas that share it.

    Args:
        folder: for the files of the store and of the replicas.
        artifacts: folders that can be published, by version.
        serving: runs a replica.
    """

    def __init__(self, folder: Path, artifacts: dict[str, Path], serving: Serving) -> None:
        self._folder = folder
        self._artifacts = artifacts
        self._serving = serving
        self._port = free_port()
        self._store = ExitStack()
        self._settings: Sequence[Mapping[str, Any]] = ()
        self._replicas: list[ExitStack] = []
        self.clients: list[Any] = []
        self.server = self._started()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def begin(self, version: str, replicas: Sequence[Mapping[str, Any]]) -> None:
        """An empty store with one version, and new replicas with settings of their own."""
        with redis.Redis.from_url(self.server.url) as client:
            client.flushall()
        shutil.rmtree(self._folder / "cache", ignore_errors=True)
        self.publish(version)
        self._settings = replicas
        for place in range(len(replicas)):
            self._replicas.append(ExitStack())
            self.clients.append(None)
            self.start_replica(place)

    def end(self) -> None:
        """Stop the replicas; the store runs on."""
        if not self.runs:
            self.start_store()
        for replica in self._replicas:
            replica.close()
        self._replicas, self.clients = [], []

    def close(self) -> None:
        """Stop the store."""
        self._store.close()

    def publish(self, version: str) -> None:
        """Publish by the trainer's own code."""
        publish_artifact(self._artifacts[version], self.server.url, policy=KEPT)

    def start_replica(self, place: int) -> None:
        """Start a replica; one that runs is stopped first."""
        self._replicas[place].close()
        settings = Settings(
            redis_url=self.server.url,
            poll_seconds=0.05,
            cache_dir=self._folder / "cache",
            redis_timeout_seconds=PATIENCE_SECONDS,
            request_timeout_seconds=PATIENCE_SECONDS,
            **self._settings[place],
        )
        client = self._replicas[place].enter_context(self._serving(settings))
        client.timeout = PATIENCE_SECONDS
        self.clients[place] = client

    @property
    def runs(self) -> bool:
        """Whether the store runs."""
        return self.server.child.poll() is None

    def kill_store(self) -> None:
        """End the store as a fault does."""
        os.kill(self.server.child.pid, signal.SIGKILL)
        self.server.child.wait()
        self._store.close()

    def start_store(self) -> None:
        """Start it with what it had written."""
        self.server = self._started()

    def _started(self) -> EmbeddedServer:
        log = self._folder / "redis.log"
        return self._store.enter_context(embedded_server(self._data, log, self._port))
