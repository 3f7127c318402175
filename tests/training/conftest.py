import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import redis
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from model.artifact.files import Artifact, check_file, check_tensor, parse_manifest
from model.artifact.stored import RowLayout
from model.registry.keys import KeySpace
from training.data.dataset import DataConfig, Dataset, load_dataset
from training.data.features import ModalityFeatures
from training.data.histories import Histories


def dataset_of(train: ArrayLike, valid: ArrayLike = False, test: ArrayLike = False) -> Dataset:
    """A data set without content, from dense matrices [U, I]; an absent part is empty."""
    parts = np.broadcast_arrays(train, valid, test)
    matrices = [csr_array(part, dtype=np.float32) for part in parts]
    users, items = matrices[0].shape
    return Dataset(
        name="hand-made",
        user_ids=[f"u{user:03}" for user in range(users)],
        item_ids=[f"i{item:03}" for item in range(items)],
        train=matrices[0],
        valid=matrices[1],
        test=matrices[2],
        train_histories=Histories.of(*matrices[0].nonzero(), None, matrices[0].shape),
        histories=Histories.of(*sum(matrices).nonzero(), None, matrices[0].shape),
        seen=matrices[0],
        features={},
        item_metadata=[{} for _ in range(items)],
        split="random",
        sha256="",
    )


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture(scope="session")
def dataset(tiny_data: Path) -> Dataset:
    """The tiny data folder, as training reads it."""
    return load_dataset(DataConfig(folder=tiny_data))


@pytest.fixture(scope="session")
def make_dataset():
    return dataset_of


@pytest.fixture(scope="session")
def communities() -> Dataset:
    """80 users in four groups, each with items of its own; two tenths of the likes are held out."""
    rng = np.random.default_rng(0)
    likes = np.arange(80)[:, None] % 4 == np.arange(60) % 4
    likes &= rng.random(likes.shape) < 0.8
    part = rng.choice(3, size=likes.shape, p=[0.8, 0.1, 0.1])
    return dataset_of(*(likes & (part == p) for p in range(3)))


@pytest.fixture(scope="session")
def new_items(communities: Dataset) -> Dataset:
    """The same with twenty more items, which nobody has chosen; texts tell each one's group."""
    parts = (communities.train, communities.valid, communities.test)
    nobody = np.zeros((communities.train.shape[0], 20))
    group_I = np.arange(communities.train.shape[1] + 20) % 4
    noise_IF = np.random.default_rng(1).normal(scale=0.2, size=(len(group_I), 4))
    texts_IF = (np.eye(4)[group_I] + noise_IF).astype(np.float32)
    return replace(
        dataset_of(*(np.hstack([part.toarray() > 0, nobody]) for part in parts)),
        features={"text": ModalityFeatures(x_IF=texts_IF, present_I=np.ones(len(group_I), bool))},
    )


Killed = Callable[[int, list[str]], tuple[int, list[str]]]


@pytest.fixture(scope="session")
def killed_before() -> Iterator[Killed]:
    """Runs a training command that is killed before its n-th step; see kill_points.py."""
    command = [sys.executable, Path(__file__).with_name("kill_points.py")]
    env = os.environ | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "PYTHONPATH": "."}
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run(step: int, arguments: list[str]) -> tuple[int, list[str]]:
            process.stdin.write(json.dumps({"step": step, "arguments": arguments}) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            return answer["status"], answer["steps"]

        yield run
        process.stdin.close()


@pytest.fixture
def read_version(redis_url: str) -> Callable[[str], Artifact]:
    """Read a version as a replica would, every checksum verified."""

    def read(version: str, namespace: str = "default") -> Artifact:
        with redis.Redis.from_url(redis_url) as client:
            return load(client, version, namespace)

    def load(client: redis.Redis, version: str, namespace: str) -> Artifact:
        keys = KeySpace(namespace)
        manifest = parse_manifest(client.get(keys.manifest(version)) or b"", version)

        def joined(name: str, layout: RowLayout) -> bytes:
            names = [keys.chunk(version, name, index) for index in range(layout.num_chunks)]
            return b"".join(client.mget(names)) if names else b""

        tensors, files = {}, {}
        for name, spec in manifest.tensors.items():
            layout = RowLayout.of(spec.shape, spec.dtype, manifest.chunk_bytes)
            flat = np.frombuffer(joined(name, layout), spec.dtype)
            tensors[name] = flat.reshape(spec.shape)
            check_tensor(name, tensors[name], manifest)
        for name, file in manifest.files.items():
            layout = RowLayout.of((file.num_bytes,), "|u1", manifest.chunk_bytes)
            files[name] = joined(name, layout)
            check_file(name, files[name], manifest)
        return Artifact(manifest=manifest, tensors=tensors, files=files)

    return read
