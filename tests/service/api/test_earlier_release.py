"""A Redis as an earlier release left it, every key literal, is served and controlled."""

import json

import numpy as np
import pytest
import redis

from model.artifact.stored import layout_of
from tests.registry_table import CANARY

USERS = [f"u{number:03d}" for number in range(29)]


@pytest.fixture
def store(redis_url, make_artifact):
    """v1 is live, v2 a canary for half of the users; u001 has seen i001, and i002 is hidden."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as store:
        for version, seed in (("v1", 1), ("v2", 2)):
            artifact = make_artifact(version, seed, deviation=None)
            manifest = artifact.manifest.model_dump(mode="json") | {"schema_version": 3}
            del manifest["item_item_deviation"]
            blobs = {name: array.tobytes() for name, array in artifact.tensors.items()}
            for name, data in (blobs | dict(artifact.files)).items():
                for index, (start, stop) in enumerate(layout_of(artifact.manifest, name).spans()):
                    store.set(f"mg:default:v:{version}:{name}:{index}", data[start:stop])
            store.set(f"mg:default:v:{version}:manifest", json.dumps(manifest))
        store.set("mg:{default}:current", "v1")
        store.zadd("mg:{default}:versions", {"v1": 1767200000.5, "v2": 1767300000.25})
        store.set("mg:{default}:canary", CANARY.replace("0.1", "0.5"))
        store.hset("mg:{default}:canary_answers", "v2", "1234")
        store.zadd("mg:default:recent:u001", {"i001": 1767300000000})
        store.sadd("mg:{default}:unavailable", "i002")
        store.set("mg:{default}:availability_revision", "1")
        yield store


def test_it_is_served_and_controlled(store, serving, following, until) -> None:
    with serving(following()) as client:
        until(client.ready)
        until(lambda: client.get("/v1/model").json()["challenger"] == "v2")
        answers = {user: client.recommend(user, k=50) for user in USERS}
        assert {answer["model_version"] for answer in answers.values()} == {"v1", "v2"}
        shown = {user: {item["item_id"] for item in a["items"]} for user, a in answers.items()}
        assert not any("i002" in items for items in shown.values())
        assert "i001" not in shown["u001"]

        listing = client.get("/v1/models").json()
        assert (listing["live"], listing["previous"], listing["pinned"]) == ("v1", None, None)
        assert [each["model_version"] for each in listing["models"]] == ["v2", "v1"]
        assert listing["models"][1]["published_at"] == "2025-12-31T16:53:20.500000Z"
        assert listing["canary"]["model_version"] == "v2"
        assert listing["canary"]["started_at"] == "2026-01-01T12:00:00Z"
        assert listing["canary"]["answers"] >= 1234

        activated = client.post("/v1/models/v2:activate", json={"pin": True}).json()
        assert (activated["live"], activated["previous"], activated["pinned"]) == ("v2", "v1", "v2")
        until(lambda: client.recommend("u001")["model_version"] == "v2")

    # What an earlier release reads next.
    names = ("current", "previous", "pinned")
    assert [store.get(f"mg:{{default}}:{name}") for name in names] == ["v2", "v1", "v2"]
    record = json.loads(store.get("mg:{default}:canary"))
    assert record.pop("ended_at").endswith("Z")
    assert record == {
        "version": "v2", "share": 0.5, "started_at": "2026-01-01T12:00:00Z",
        "outcome": "promoted", "reason": "v2 went live",
    }  # fmt: skip


def test_its_item_item_scores_are_taken_as_they_are(
    store, serving, following, until, make_artifact, reference, profile_of
) -> None:
    store.delete("mg:{default}:canary")
    tensors = make_artifact("v1", 1, deviation=None).tensors
    score_I, _, _ = reference(tensors, profile_of(tensors, 4, deviation=None), np.arange(80))
    with serving(following()) as client:
        until(client.ready)
        for item in client.recommend("u004", k=20)["items"]:
            row = int(item["item_id"][1:])
            assert item["score"] == pytest.approx(score_I[row], abs=1e-5)
        explained = client.get("/v1/users/u004/explanations/i003").json()
        assert explained["score"] == pytest.approx(score_I[3], abs=1e-5)
