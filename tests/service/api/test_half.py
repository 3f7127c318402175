"""A model whose items are kept in 16 bits, beside one of the same numbers in 32."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model.artifact.build import halved
from model.artifact.files import Artifact, write_artifact
from model.artifact.manifest import HALVED, TensorSpec
from model.runtime.artifact import ArtifactScorer, record_golden
from service.ops.settings import Settings
from tests.service.api.asked import BODIES, ROUTES, same


def with_tensors(artifact: Artifact, tensors: dict[str, Any]) -> Artifact:
    """The artifact with other tensors, and the golden pairs of these."""
    specs = {name: TensorSpec.of(array) for name, array in tensors.items()}
    golden = artifact.manifest.golden
    manifest = artifact.manifest.model_copy(update={"tensors": specs})
    scorer = ArtifactScorer.of(Artifact(manifest=manifest, tensors=tensors, files=artifact.files))
    users = [scorer.user(row) for row in golden.user_rows]
    golden = record_golden(scorer.scorer, users, golden.user_rows, golden.item_rows)
    manifest = manifest.model_copy(update={"golden": golden})
    return replace(artifact, manifest=manifest, tensors=tensors)


def half(artifact: Artifact) -> Artifact:
    return with_tensors(artifact, halved(artifact.tensors))


@pytest.fixture(scope="module")
def pair(make_artifact, serving, until, tmp_path_factory) -> Iterator[tuple[Any, Any]]:
    made = make_artifact("half", 5, num_items=3001)
    made = replace(made, manifest=made.manifest.model_copy(update={"newcomer_popularity": 0.7}))
    rounded = halved(made.tensors)
    assert {name for name in rounded if rounded[name].dtype == np.float16} == HALVED
    whole = {name: rounded[name].astype(made.tensors[name].dtype) for name in rounded}
    with ExitStack() as running:
        services = []
        for tensors in (whole, rounded):
            folder = tmp_path_factory.mktemp("half")
            write_artifact(folder, with_tensors(made, tensors))
            settings = Settings(artifact_dir=folder, allow_anonymous=True)
            services.append(running.enter_context(serving(settings)))
        for service in services:
            until(service.ready)
        yield services[0], services[1]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_lists_are_the_same(pair: tuple[Any, Any], body: dict[str, Any]) -> None:
    expected, answer = (each.post("/v1/recommendations", json=body) for each in pair)
    assert expected.json()["items"]
    same(expected.json(), answer.json())


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_other_answers_are_the_same(
    pair: tuple[Any, Any], method: str, path: str, body: dict[str, Any] | None
) -> None:
    expected, answer = (each.request(method, path, json=body) for each in pair)
    assert answer.status_code == expected.status_code == 200, answer.text
    same(expected.json(), answer.json())


def test_scores_are_the_sum_of_their_parts(pair: tuple[Any, Any]) -> None:
    for item in pair[1].recommend("u001", k=100)["items"]:
        parts = item["bias"] + sum(expert["contribution"] for expert in item["experts"])
        assert parts == pytest.approx(item["score"], abs=1e-5)


def test_items_that_are_put_stand_beside_them(
    make_artifact, publish, redis_url, serving, following, until
) -> None:
    publish(redis_url, half(make_artifact("half", 5)))
    with serving(following()) as service:
        until(service.ready)
        service.put("/v1/items/new", json={"title": "New", "categories": ["odd"]})
        asked = {"user_id": "u001", "candidates": ["new", "i001", "i003"], "explain": "full"}

        def items() -> list[dict[str, Any]]:
            found = service.post("/v1/recommendations", json=asked).json()["items"]
            return list(found)

        until(lambda: "new" in [item["item_id"] for item in items()])
        for item in items():
            parts = item["bias"] + sum(expert["contribution"] for expert in item["experts"])
            assert parts == pytest.approx(item["score"], abs=1e-5)
        near = service.get("/v1/items/new/similar?k=3").json()["items"]
        assert near[0]["similarity"] > 0


def test_who_takes_everything_back_has_no_history(
    make_artifact, publish, redis_url, serving, following, until
) -> None:
    """What rounding leaves of a user's vector is no taste."""
    artifact = half(make_artifact("half", 5))
    publish(redis_url, artifact)
    with serving(following()) as service:
        until(service.ready)
        user = ArtifactScorer.of(artifact).history(1)
        undone = [
            {
                "event_id": f"undo-{row}",
                "user_id": "u001",
                "item_id": f"i{row:03d}",
                "type": "return",
                "timestamp": "2026-11-01T12:00:00Z",
            }
            for row in user.tolist()
        ]
        service.post("/v1/feedback", json={"events": undone}).raise_for_status()
        explained = service.get("/v1/users/u001/explanations/i005").json()
        content = [
            explained["matrix"][modality][view]
            for modality in ("text", "picture")
            for view in ("interaction", "augmented")
        ]
        assert content == [0, 0, 0, 0]
