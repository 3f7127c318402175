"""Rolling back and pinning over HTTP."""

import time
from dataclasses import replace

import pytest

from model.registry.keys import KeySpace

KEYS = KeySpace()


@pytest.fixture
def client(redis_url, valkey_server, make_artifact, publish, serving, following, until):
    """Serves v2, published after v1."""
    with valkey_server.client() as redis:
        for version, seed in (("v1", 1), ("v2", 2)):
            publish(redis_url, make_artifact(version, seed))
            redis.zadd(KEYS.versions, {version: time.time() + seed})
        redis.set(KEYS.previous, "v1")
    with serving(following()) as client:
        until(client.ready)
        yield client


def activate(client, version: str, **body):
    return client.post(f"/v1/models/{version}:activate", json=body)


def test_what_is_published_is_listed_newest_first(client) -> None:
    listing = client.get("/v1/models").json()
    newest, oldest = listing["models"]
    assert (newest["model_version"], newest["live"], newest["previous"]) == ("v2", True, False)
    assert (oldest["model_version"], oldest["live"], oldest["previous"]) == ("v1", False, True)
    assert (listing["live"], listing["previous"], listing["pinned"]) == ("v2", "v1", None)
    assert newest["metrics"] == {"test/recall@20": 0.1}
    assert newest["published_at"] > oldest["published_at"]
    assert newest["usable"]


def test_an_older_version_is_made_live_and_pinned_and_released(client, until) -> None:
    answer = activate(client, "v1", pin=True).json()
    assert (answer["live"], answer["previous"], answer["pinned"]) == ("v1", "v2", "v1")
    until(lambda: client.recommend("u001")["model_version"] == "v1")
    assert client.get("/v1/models").json()["models"][1]["pinned"]
    released = client.post("/v1/models:unpin").json()
    assert (released["live"], released["pinned"]) == ("v1", None)
    back = activate(client, "v2", pin=False).json()
    assert (back["live"], back["previous"], back["pinned"]) == ("v2", "v1", None)
    until(lambda: client.recommend("u001")["model_version"] == "v2")


def test_to_activate_what_is_live_changes_only_the_pin(client) -> None:
    assert activate(client, "v2").json()["pinned"] == "v2"
    answer = activate(client, "v2", pin=False).json()
    assert (answer["live"], answer["previous"], answer["pinned"]) == ("v2", "v1", None)


@pytest.mark.parametrize("version", ["v3", "v%20x", "retired"])
def test_a_version_that_is_not_there_changes_nothing(
    client, redis_url, valkey_server, make_artifact, publish, version: str
) -> None:
    publish(redis_url, make_artifact("retired", 3), live=False)
    answer = activate(client, version)
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:magnet:problem:unknown-version"
    with valkey_server.client() as redis:
        assert redis.mget(KEYS.current, KEYS.pinned) == [b"v2", None]


def test_a_version_without_its_manifest_is_listed_as_unusable(client, valkey_server) -> None:
    with valkey_server.client() as redis:
        redis.delete(KEYS.manifest("v1"))
    assert [model["usable"] for model in client.get("/v1/models").json()["models"]] == [True, False]
    assert activate(client, "v1").status_code == 404


def test_a_folder_holds_one_version(disk_client) -> None:
    assert disk_client.get("/v1/models").status_code == 501
    assert activate(disk_client, "v1").status_code == 501


def test_an_early_model_is_shown_as_one(
    redis_url, valkey_server, client, publish, make_artifact, until
) -> None:
    assert client.get("/v1/model").json()["early"] is False
    artifact = make_artifact("v3", 3)
    training = artifact.manifest.training.model_copy(update={"early": True})
    manifest = artifact.manifest.model_copy(update={"training": training})
    publish(redis_url, replace(artifact, manifest=manifest))
    with valkey_server.client() as redis:
        redis.zadd(KEYS.versions, {"v3": time.time() + 3})
    until(lambda: client.get("/v1/model").json()["model_version"] == "v3")
    assert client.get("/v1/model").json()["early"] is True
    assert [each["early"] for each in client.get("/v1/models").json()["models"]] == [
        True,
        False,
        False,
    ]
