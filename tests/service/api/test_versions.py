"""Following the live version: good ones are swapped in, bad ones are refused."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
import redis

from model.artifact.files import Artifact
from model.registry.keys import KeySpace

KEYS = KeySpace("default")


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
    redis_url, make_artifact, publish, serving, following, until, damage, said: str
) -> None:
    publish(redis_url, make_artifact("v1", 1))
    settings = following()
    with serving(settings) as client, redis.Redis.from_url(redis_url) as admin:
        until(client.ready)
        before = client.recommend("u001")["items"]
        publish(redis_url, make_artifact("v2", 2), live=False)
        damage(admin)
        admin.set(KEYS.current, "v2")
        began = time.monotonic()
        until(lambda: said in client.warnings())
        assert "still serving v1" in client.warnings()
        assert client.recommend("u001")["items"] == before
        failures = 'magnet_model_loads_total{reason="damaged",result="failure"}'
        time.sleep(0.8)  # some fifteen polls
        polls = (time.monotonic() - began) / settings.poll_seconds
        assert 1 <= client.metric(failures) < polls / 2
        publish(redis_url, make_artifact("v3", 3))
        until(lambda: client.recommend("u001")["model_version"] == "v3")
        assert client.get("/readyz").json()["warnings"] == []


def test_a_pointer_that_names_no_version_is_refused(
    redis_url, artifact, publish, serving, following, until
) -> None:
    publish(redis_url, artifact)
    with serving(following()) as client, redis.Redis.from_url(redis_url) as admin:
        until(client.ready)
        admin.set(KEYS.current, b"no version: \xff")
        until(lambda: "is not usable in a Redis key" in client.warnings())
        assert client.recommend("u001")["model_version"] == "v1"


def test_a_model_that_does_not_reproduce_its_golden_pairs_is_refused(
    redis_url, make_artifact, publish, serving, following, until
) -> None:
    good = make_artifact("v1", 1)
    golden = good.manifest.golden.model_copy(
        update={"scores": (np.array(good.manifest.golden.scores) + 0.01).tolist()}
    )
    manifest = good.manifest.model_copy(update={"golden": golden})
    publish(redis_url, replace(good, manifest=manifest))
    with serving(following()) as client:
        until(lambda: "golden user 0: the score differs" in client.get("/readyz").text)
        assert not client.ready()
        assert client.metric('magnet_model_loads_total{reason="golden",result="failure"}') >= 1


def test_a_version_that_is_deleted_under_the_service_costs_only_its_users(
    redis_url, artifact, publish, serving, following, until
) -> None:
    publish(redis_url, artifact)
    with serving(following()) as client, redis.Redis.from_url(redis_url) as admin:
        until(client.ready)
        admin.flushall()
        answer = client.recommend("u010")
        assert answer["fallback"] == "popular"
        assert "could not be read" in answer["warnings"][0]
        until(lambda: "no model has been published" in client.warnings())


def test_a_model_of_a_later_format_is_refused_by_name(
    redis_url, artifact, publish, serving, following, until
) -> None:
    publish(redis_url, artifact)
    with redis.Redis.from_url(redis_url) as admin:
        text = admin.get(KEYS.manifest("v1"))
        admin.set(KEYS.manifest("v1"), text.replace(b'"schema_version":4', b'"schema_version":5'))
    with serving(following()) as client:
        until(lambda: "made by another release" in client.get("/readyz").text)


@pytest.mark.parametrize(
    ("poll_seconds", "announced"), [(3600, True), (0.05, False)], ids=["announced", "polled"]
)
def test_a_new_version_is_followed_without_a_restart(
    redis_url,
    make_artifact,
    publish,
    serving,
    following,
    until,
    poll_seconds: float,
    announced: bool,
) -> None:
    publish(redis_url, make_artifact("v1", 1))
    settings = following(poll_seconds=poll_seconds)
    with serving(settings) as client, redis.Redis.from_url(redis_url) as admin:
        until(client.ready)
        if announced:
            until(lambda: admin.pubsub_numsub(KEYS.events)[0][1] == 1)
            publish(redis_url, make_artifact("v2", 2))
        else:
            publish(redis_url, make_artifact("v2", 2), live=False)
            admin.set(KEYS.current, "v2")
        until(lambda: client.recommend("u001")["model_version"] == "v2")
        assert client.metric('magnet_model_info{model_version="v2"}') == 1
        assert 'model_version="v1"' not in client.get("/metrics").text


def test_no_answer_is_torn_by_a_reload(
    redis_url, make_artifact, publish, reference, profile_of, serving, following, until
) -> None:
    versions: dict[str, Artifact] = {f"v{seed}": make_artifact(f"v{seed}", seed) for seed in (1, 2)}
    expected = {
        (version, row): reference(
            artifact.tensors, profile_of(artifact.tensors, row), np.arange(80)
        )[0]
        for version, artifact in versions.items()
        for row in range(29)
    }
    answered = [""]
    enough = Event()

    def ask(client) -> None:
        while not enough.is_set():
            row = len(answered) % 29
            answer = client.recommend(f"u{row:03d}", k=20, exclude_seen=False)
            version = answer["model_version"]
            scores = expected[version, row]
            best = np.argsort(-scores)[:20]
            assert [item["item_id"] for item in answer["items"]] == [f"i{b:03d}" for b in best]
            assert [item["score"] for item in answer["items"]] == pytest.approx(scores[best])
            answered.append(version)

    publish(redis_url, versions["v1"])
    with serving(following()) as client, ThreadPoolExecutor(4) as pool:
        until(client.ready)
        asking = [pool.submit(ask, client) for _ in range(4)]
        try:
            for version in ("v2", "v1") * 4:
                publish(redis_url, versions[version])
                until(lambda version=version: answered[-1] == version)
        finally:
            enough.set()
        for future in asking:
            future.result()
