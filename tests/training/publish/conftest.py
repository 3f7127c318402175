"""A small artifact of any version, a reader that knows only the contract, and a cuttable line."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import redis

from deploy.cli.app import main
from model.artifact.build import build_artifact, untrained, with_tables
from model.artifact.files import Artifact, write_artifact
from model.artifact.manifest import ExpertSpec, Golden
from model.registry.keys import KeySpace
from training.publish import publish_artifact

NUM_USERS, NUM_ITEMS = 6, 5
VECTORS = (2, 2, 8)
"""Views, modalities, dimension."""


def small_artifact(
    version: str, seed: int = 0, file_bytes: int = 700, *, early: bool = False, shop: str = ""
) -> Artifact:
    """Random arrays that obey the contract, in chunks of two embedding rows."""
    rng = np.random.default_rng(seed)

    def vectors(rows: int) -> np.ndarray:
        return rng.normal(size=(rows, *VECTORS)).astype("<f4")

    tensors = with_tables(
        {
            "user_embeddings": vectors(NUM_USERS),
            "item_embeddings": vectors(NUM_ITEMS),
            "item_foldin": vectors(NUM_ITEMS),
            "item_routing": rng.normal(size=(NUM_ITEMS, 3)).astype("<f4"),
            "item_bias": rng.normal(size=NUM_ITEMS).astype("<f4"),
            "item_popularity": np.arange(NUM_ITEMS, dtype="<i8"),
            "neighbourhood_offsets": np.array([0, 2, 2, 3, 3, 3], dtype="<i8"),
            "neighbourhood_items": np.array([3, 1, 0], dtype="<i4"),
            "neighbourhood_weights": rng.normal(size=3).astype("<f4"),
            "seen_offsets": np.zeros(NUM_USERS + 1, dtype="<i8"),
            "seen_items": np.zeros(0, dtype="<i4"),
            "history_lengths": np.zeros(NUM_USERS, dtype="<i4"),
        },
        user_ids=(f"{shop}u{row}" for row in range(NUM_USERS)),
        item_ids=(f"{shop}i{row}" for row in range(NUM_ITEMS)),
        item_metadata=(f'{{"title": "item {row}"}}' for row in range(NUM_ITEMS)),
    )
    return build_artifact(
        tensors,
        {name: rng.bytes(file_bytes) for name in ("head.onnx", "explain.onnx")},
        model_version=version,
        created_at="2026-01-01T00:00:00Z",
        views=["interaction", "augmented"],
        modalities=["behaviour", "text"],
        experts=[
            ExpertSpec(
                name=name, role="balanced", modality=None, template=[0.5, 0.5], usual_weight=0.5
            )
            for name in ("one", "two")
        ],
        gate_threshold=0.5,
        recency_power=0.5,
        chunk_bytes=256,
        golden=Golden(user_rows=[], item_rows=[], scores=[], contributions=[]),
        metrics={},
        training=untrained(seed).model_copy(update={"early": early}),
    )


@pytest.fixture
def artifact_of(tmp_path: Path) -> Callable[..., Path]:
    """Write the small artifact of a version into a folder of its own."""

    def write(version: str, seed: int = 0, file_bytes: int = 700, **settings: object) -> Path:
        folder = tmp_path / f"{version}-{seed}-{file_bytes}"
        folder.mkdir()
        write_artifact(folder, small_artifact(version, seed, file_bytes, **settings))
        return folder

    return write


@pytest.fixture
def published(artifact_of: Callable[..., Path], redis_url: str) -> None:
    """Three versions; v3 is live."""
    for version in ("v1", "v2", "v3"):
        publish_artifact(artifact_of(version), redis_url)


@pytest.fixture
def command(redis_url: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs `magnet WORDS`; its exit status and everything that it prints."""

    def run(*words: str) -> tuple[int, str]:
        status = main([*words, "--redis-url", redis_url])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


@pytest.fixture
def stored_versions(client: redis.Redis) -> Callable[[], set[str]]:
    """The versions that have any key at all, complete or not."""
    keys = KeySpace()

    def versions() -> set[str]:
        names = client.scan_iter(match=keys.every_version_pattern)
        return {keys.version_of(name.decode()) for name in names}

    return versions


class Line:
    """A TCP line to the server that passes commands on one by one and can be cut after the n-th.

    `on_cut` runs once, after the n-th command reached the server and before its reply comes back.
    `heals` says whether new connections work afterwards. `commands` are the names that passed.
    """

    def __init__(self, port: int, *, cut_after: int | None, heals: bool = False) -> None:
        self.on_cut: Callable[[], object] = lambda: None
        self.commands: list[str] = []
        self._upstream_port = port
        self._cut_after = cut_after
        self._heals = heals
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in [self._listener, *self._sockets]:
            _hang_up(each)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._upstream_port))
            self._sockets += [near, far]
            threading.Thread(target=self._commands, args=(near, far), daemon=True).start()
            threading.Thread(target=_replies, args=(far, near), daemon=True).start()

    def _commands(self, near: socket.socket, far: socket.socket) -> None:
        with near.makefile("rb") as stream, suppress(OSError, ValueError):
            while header := stream.readline():
                parts = [header]
                for _ in range(int(header[1:])):
                    size = stream.readline()
                    parts += [size, stream.read(int(size[1:]) + 2)]
                command = b"".join(parts)
                self.commands.append(parts[2].strip().decode().upper())
                if len(self.commands) == self._cut_after:
                    if not self._heals:
                        _hang_up(self._listener)
                    _hang_up(near)
                    far.sendall(command)
                    far.shutdown(socket.SHUT_WR)
                    self.on_cut()
                    return
                far.sendall(command)


def _replies(far: socket.socket, near: socket.socket) -> None:
    with suppress(OSError):
        while data := far.recv(65536):
            near.sendall(data)


def _hang_up(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


@pytest.fixture
def line(redis_url: str) -> Iterator[Callable[..., Line]]:
    """Lay a line to the server; all are taken down after the test."""
    lines: list[Line] = []

    def lay(cut_after: int | None = None, *, heals: bool = False) -> Line:
        lines.append(Line(int(redis_url.rpartition(":")[2]), cut_after=cut_after, heals=heals))
        return lines[-1]

    yield lay
    for each in lines:
        each.close()
