"""A canary that fails or misroutes is taken back, for all, by whoever sees it."""

import time
from dataclasses import replace

import numpy as np
import onnx
import pytest

from model.artifact.files import Artifact, sha256
from model.artifact.manifest import FileSpec, TensorSpec
from model.registry.canary import Canary
from model.registry.keys import KeySpace

KEYS = KeySpace()


def collapsed(artifact: Artifact, reference, profile_of) -> Artifact:
    """The same model with a router that always asks the first expert, as no manifest would say."""
    routing = artifact.tensors["item_routing"].copy()
    routing[:, 0] += 50
    tensors = artifact.tensors | {"item_routing": routing}
    manifest = artifact.manifest
    rows = np.array(manifest.golden.item_rows)
    outputs = [
        reference(tensors, profile_of(tensors, row), rows) for row in manifest.golden.user_rows
    ]
    golden = manifest.golden.model_copy(
        update={
            "scores": [score.tolist() for score, _, _ in outputs],
            "contributions": [contribution.sum((2, 3)).tolist() for _, _, contribution in outputs],
        }
    )
    spec = TensorSpec(dtype=routing.dtype.str, shape=routing.shape, sha256=sha256(routing))
    changes = {"golden": golden, "tensors": manifest.tensors | {"item_routing": spec}}
    return replace(artifact, tensors=tensors, manifest=manifest.model_copy(update=changes))


def failing(artifact: Artifact) -> Artifact:
    """The same model, but it can only explain as many items as are golden."""
    graph = onnx.load_from_string(artifact.files["explain.onnx"])
    for given in graph.graph.input:
        if given.name != "user":
            given.type.tensor_type.shape.dim[1].dim_value = len(artifact.manifest.golden.item_rows)
    data = graph.SerializeToString()
    spec = FileSpec(num_bytes=len(data), sha256=sha256(data))
    manifest = artifact.manifest
    changes = {"files": manifest.files | {"explain.onnx": spec}}
    return replace(
        artifact,
        files=artifact.files | {"explain.onnx": data},
        manifest=manifest.model_copy(update=changes),
    )


def test_one_whose_routing_has_collapsed_is_taken_back_by_whoever_sees_it(
    store, replicas, make_artifact, reference, profile_of, until, start, served, latest, ask, users
) -> None:
    store.add(collapsed(make_artifact("v2", 2), reference, profile_of))
    one, other = replicas
    start(one)
    until(lambda: served(one) == served(other) == "v2")
    ask(one, 10)
    until(lambda: served(one) is None and served(other) is None)
    ended = latest(other)
    assert ended["outcome"] == "rolled_back"
    assert "the entropy of its experts' shares is 0.00 in" in ended["reason"]
    assert "its usual one is 1.00" in ended["reason"]
    ask(one, 1)
    until(lambda: one.metric("magnet_canary_ended_timestamp_seconds") > 0)
    time.sleep(0.3)  # some more looks of both guards
    assert latest(one)["ended_at"] == ended["ended_at"]
    listing = one.get("/v1/models").json()
    assert (listing["live"], listing["previous"], listing["pinned"]) == ("v1", None, None)
    assert {one.recommend(user)["model_version"] for user in users} == {"v1"}
    told = f'magnet_canary_info{{model_version="v2",outcome="rolled_back",reason="{ended["reason"]}'
    assert other.metric(told[:200]) == 1
    assert one.warnings() == ""


def test_one_that_fails_is_taken_back(
    store, replicas, make_artifact, until, start, served, latest, ask, users
) -> None:
    store.add(failing(make_artifact("v2", 2)))
    one, other = replicas
    start(one)
    until(lambda: served(one) == served(other) == "v2")
    ask(other, 3)
    until(lambda: served(one) is None and served(other) is None)
    ended = latest(one)
    assert ended["outcome"] == "rolled_back"
    assert "of its" in ended["reason"]
    assert "requests failed, of the live model's 0 of" in ended["reason"]
    assert other.metric('magnet_answer_failures_total{variant="challenger"}') >= 20
    assert other.metric('magnet_answer_failures_total{variant="champion"}') == 0
    for user in users:
        other.recommend(user)


@pytest.mark.parametrize("window_seconds", [600.0, 0.0])
def test_a_healthy_one_is_left_alone_and_its_answers_are_counted_once(
    store,
    replicas,
    make_artifact,
    until,
    start,
    served,
    latest,
    ask,
    users,
    monkeypatch,
    window_seconds: float,
) -> None:
    monkeypatch.setattr("service.serving.canary_guard.WINDOW_SECONDS", window_seconds)
    store.add(make_artifact("v2", 2))
    one, other = replicas
    start(one)
    until(lambda: served(one) == served(other) == "v2")
    ask(one, 12)
    ask(other, 4)
    canary = Canary.parse(store.get(KEYS.canary))
    answers = 16 * sum(map(canary.takes, users))
    until(lambda: latest(one)["answers"] >= answers)
    time.sleep(0.3)  # some more looks of both guards
    assert latest(one)["answers"] == answers
    assert latest(one)["outcome"] is None
    assert served(one) == "v2"


def test_it_is_withdrawn_here_while_redis_cannot_be_told(
    store,
    redis_url,
    make_artifact,
    reference,
    profile_of,
    serving,
    following,
    proxy,
    until,
    start,
    served,
    users,
) -> None:
    store.add(collapsed(make_artifact("v2", 2), reference, profile_of))
    line = proxy(int(redis_url.rpartition(":")[2].split("/")[0]))
    with serving(following(url=line.url)) as client:
        until(client.ready)
        start(client)
        until(lambda: served(client) == "v2")
        line.cut()
        body = {"session_items": ["i001", "i002"]}
        for _ in range(10):
            for user in users:
                client.post("/v1/recommendations", json=body | {"user_id": user})
        until(lambda: served(client) is None)
        assert Canary.parse(store.get(KEYS.canary)).outcome is None
        line.mend()
        until(lambda: Canary.parse(store.get(KEYS.canary)).outcome is not None)
        assert Canary.parse(store.get(KEYS.canary)).outcome == "rolled_back"
