"""A server takes over without the latest changes, and then changes as often: everybody notices.

A primary that has lost acknowledged writes is a server whose keys are as they were before them.
"""

from collections.abc import Callable

import pytest
import redis


@pytest.fixture
def loses(redis_url) -> Callable[[], Callable[[], None]]:
    """Notes what the server holds; what it returns brings that back, and nothing that came since.

    All in one step, as readers meet it.
    """
    server = redis.Redis.from_url(redis_url)

    def noted() -> Callable[[], None]:
        kept = {key: (server.dump(key), max(server.pttl(key), 0)) for key in server.scan_iter()}

        def lose() -> None:
            with server.pipeline(transaction=True) as pipe:
                for key in server.scan_iter():
                    pipe.unlink(key)
                for key, (value, lasts) in kept.items():
                    pipe.restore(key, lasts, value)
                pipe.execute()

        return lose

    yield noted
    server.close()


@pytest.fixture
def replicas(redis_url, artifact, publish, serving, following, until, tmp_path):
    """Two services; the first keeps what it knows on its disk."""
    publish(redis_url, artifact)
    patient = following(poll_seconds=3600, redis_timeout_seconds=10)
    keeping = patient.model_copy(update={"cache_dir": tmp_path})
    with serving(keeping) as one, serving(patient) as other:
        for client in (one, other):
            until(client.ready)
        yield one, other


def hide(client, item_id: str) -> None:
    answer = client.put(f"/v1/items/{item_id}/availability", json={"available": False})
    assert answer.status_code == 200, answer.text


def ranked(client, **request) -> set[str]:
    body = {"session_items": ["i001"], "k": 1000, "exclude_seen": False} | request
    answer = client.post("/v1/recommendations", json=body)
    assert answer.status_code == 200, answer.text
    return {item["item_id"] for item in answer.json()["items"]}


def test_hidden_items(replicas, loses) -> None:
    for client in replicas:
        hide(client, "i010")
        lose = loses()
        hide(client, "i011")
        for each in replicas:
            assert not {"i010", "i011"} & ranked(each)
        lose()
        hide(client, "i012")
        for each in replicas:
            assert {"i010", "i011", "i012"} & ranked(each) == {"i011"}
        answer = client.post(
            "/v1/items:availability", json={"item_ids": ["i010", "i012"], "available": True}
        )
        assert answer.status_code == 200, answer.text


def test_hidden_items_that_a_machine_has_kept(
    own_server, artifact, publish, serving, following, until, tmp_path
) -> None:
    """A restart without the server knows those of the new primary."""
    url = own_server.connection_url
    publish(url, artifact)
    settings = following(url, cache_dir=tmp_path / "cache")
    with serving(settings) as client, redis.Redis.from_url(url) as server:
        until(client.ready)
        hide(client, "i010")
        names = [
            f"mg:{{default}}:{name}"
            for name in ("unavailable", "availability_revision", "availability_log")
        ]
        kept = {name: server.dump(name) for name in names}
        hide(client, "i011")
        assert not {"i010", "i011"} & ranked(client)
        with server.pipeline(transaction=True) as pipe:
            for name, value in kept.items():
                pipe.restore(name, 0, value, replace=True)
            pipe.execute()
        hide(client, "i012")
        assert "i012" not in ranked(client)
    own_server.stop()
    with serving(settings) as client:
        until(client.ready)
        assert {"i010", "i011", "i012"} & ranked(client) == {"i011"}


def test_items(redis_url, artifact, publish, serving, following, until, loses, monkeypatch) -> None:
    """A replica that looks when it changes something."""
    monkeypatch.setattr("service.app.ITEMS_SECONDS", 3600)
    publish(redis_url, artifact)

    def put(item_id: str, title: str) -> None:
        answer = client.put(f"/v1/items/{item_id}", json={"title": f"Shop {title}"})
        assert answer.status_code in (200, 201), answer.text

    def titles() -> set[str]:
        found = client.get("/v1/items", params={"title": "shop"}).json()["items"]
        return {item["title"].removeprefix("Shop ") for item in found}

    with serving(following()) as client:
        until(client.ready)
        put("new", "first")
        lose = loses()
        put("lost", "second")
        assert titles() == {"first", "second"}
        lose()
        put("i003", "third")
        assert titles() == {"first", "third"}
        assert "lost" not in ranked(client)


def test_erasures(replicas, loses) -> None:
    one, other = replicas

    def erase(client, user_id: str) -> None:
        assert client.delete(f"/v1/users/{user_id}").status_code == 202

    def is_known(user_id: str) -> list[bool]:
        return [client.recommend(user_id)["fallback"] is None for client in replicas]

    erase(one, "u003")
    lose = loses()
    erase(one, "u001")
    assert is_known("u001") == [False, False]
    lose()
    erase(other, "u002")
    assert is_known("u001") == [True, True]
    assert is_known("u002") == is_known("u003") == [False, False]


def test_rules(replicas, loses) -> None:
    def only(client, item_id: str) -> None:
        rule = {"filters": [{"attribute": "item_id", "op": "==", "value": item_id}]}
        assert client.put("/v1/rules", json=rule).status_code == 200

    one, other = replicas
    lose = loses()
    only(one, "i003")
    for client in replicas:
        assert ranked(client) == {"i003"}
    lose()
    only(other, "i004")
    for client in replicas:
        assert ranked(client) == {"i004"}
