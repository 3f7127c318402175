"""Two replicas of one Redis in which v1 is live, and what is done to them and asked of them."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from model.artifact.files import Artifact
from model.registry.keys import KeySpace

KEYS = KeySpace()


@pytest.fixture(scope="session")
def users() -> list[str]:
    """All with a taste."""
    return [f"u{number:03d}" for number in range(29)]


@pytest.fixture
def store(redis_url, valkey_server, make_artifact, publish):
    """v1 is live; publishes further ones beside it."""
    with valkey_server.client() as redis:

        def add(artifact: Artifact) -> None:
            version = artifact.manifest.model_version
            publish(redis_url, artifact, live=version == "v1")
            redis.zadd(KEYS.versions, {version: time.time()})

        add(make_artifact("v1", 1))
        redis.add = add
        yield redis


@pytest.fixture
def replicas(store, serving, following, until):
    with serving(following()) as one, serving(following()) as other:
        until(lambda: one.ready() and other.ready())
        yield one, other


@pytest.fixture(scope="session")
def start() -> Callable[..., Any]:
    """Asks for a canary."""

    def start(client, version: str = "v2", share: float = 0.5):
        return client.post(f"/v1/models/{version}:canary", json={"share": share})

    return start


@pytest.fixture(scope="session")
def served() -> Callable[..., str | None]:
    """The canary that a replica serves."""

    def served(client) -> str | None:
        challenger: str | None = client.get("/v1/model").json()["challenger"]
        return challenger

    return served


@pytest.fixture(scope="session")
def latest() -> Callable[..., dict[str, Any]]:
    """The latest canary, as a replica tells of it."""

    def latest(client) -> dict[str, Any]:
        canary: dict[str, Any] = client.get("/v1/models").json()["canary"]
        return canary

    return latest


@pytest.fixture(scope="session")
def ask(users) -> Callable[..., None]:
    """Everybody asks again and again; some may get 500, after which the server hangs up."""

    def ask(client, rounds: int = 1) -> None:
        for _ in range(rounds):
            for user in users:
                client.get(f"/v1/users/{user}/recommendations", headers={"Connection": "close"})

    return ask
