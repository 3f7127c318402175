"""What training writes, the service reads: the only tests that import both."""

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import numpy as np
import pytest
import uvicorn

from model.artifact.files import Artifact, read_artifact
from model.runtime.artifact import ArtifactScorer
from service.app import create_app
from service.ops.settings import Settings
from tests.waiting import PATIENCE_SECONDS, until
from training.publish import publish_artifact


@pytest.fixture
def artifact(artifact_dir: Path) -> Artifact:
    return read_artifact(artifact_dir)


@pytest.fixture
def client(artifact_dir: Path, redis_url: str) -> Iterator[httpx2.Client]:
    """A service over a socket that serves what training has published."""
    publish_artifact(artifact_dir, redis_url)
    server = uvicorn.Server(
        uvicorn.Config(create_app(Settings(redis_url=redis_url)), port=0, log_config=None)
    )
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        yield client
    server.should_exit = True
    thread.join(PATIENCE_SECONDS)


def answer(client: httpx2.Client, path: str, **params: Any) -> dict[str, Any]:
    response = client.get(path, params=params)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_the_published_model_is_the_one_that_serves(client, artifact) -> None:
    manifest = artifact.manifest
    served = answer(client, "/v1/model")
    assert served["model_version"] == manifest.model_version
    assert served["modalities"] == manifest.modalities
    assert [expert["name"] for expert in served["experts"]] == [e.name for e in manifest.experts]


def test_served_scores_are_those_that_training_recorded(client, artifact) -> None:
    golden = artifact.manifest.golden
    for place, user in enumerate(golden.user_rows):
        for column, item in enumerate(golden.item_rows):
            pair = answer(client, f"/v1/users/u{user:03d}/explanations/i{item:03d}")
            recorded = golden.contributions[place][column]
            by_name = {expert["name"]: expert["contribution"] for expert in pair["experts"]}
            served = [by_name[expert.name] for expert in artifact.manifest.experts]
            assert pair["score"] == pytest.approx(golden.scores[place][column], abs=1e-4)
            assert served == pytest.approx(recorded, abs=1e-4)


def test_the_contributions_of_a_real_model_add_up(client, artifact) -> None:
    threshold = artifact.manifest.gate_threshold
    for user in range(60):
        for item in answer(client, f"/v1/users/u{user:03d}/recommendations", k=40)["items"]:
            if item["experts"] is None:
                continue
            contributions = [expert["contribution"] for expert in item["experts"]]
            weights = [expert["weight"] for expert in item["experts"]]
            total = item["bias"] + sum(contributions)
            assert total == pytest.approx(item["score"], rel=1e-6, abs=1e-5)
            assert sum(weights) == pytest.approx(1, abs=1e-5)
            assert min(weights) >= threshold * max(weights) - 1e-5


def test_what_training_has_seen_is_not_recommended(client, artifact) -> None:
    offsets, seen = artifact.tensors["seen_offsets"], artifact.tensors["seen_items"]
    for user in range(60):
        known = {f"i{row:03d}" for row in seen[offsets[user] : offsets[user + 1]]}
        items = answer(client, f"/v1/users/u{user:03d}/recommendations", k=40)["items"]
        assert {item["item_id"] for item in items} == {f"i{i:03d}" for i in range(40)} - known


def test_titles_travel(client) -> None:
    items = answer(client, "/v1/users/nobody/recommendations", k=40)["items"]
    assert len(items) == 40
    assert all(item["title"] for item in items)


def test_a_user_is_close_to_the_fold_in_of_her_own_history(client, artifact) -> None:
    """The vector that training exports and the one that the service folds in say much the same."""
    tensors = artifact.tensors
    agreement = []
    for user in range(20):
        first = tensors["seen_offsets"][user]
        history = tensors["seen_items"][first : first + tensors["history_lengths"][user]]
        trained = answer(client, f"/v1/users/u{user:03d}/recommendations", k=10)
        body = {"session_items": [f"i{row:03d}" for row in history], "k": 10}
        folded = client.post("/v1/recommendations", json=body).json()
        known = {item["item_id"] for item in trained["items"]}
        again = {item["item_id"] for item in folded["items"]}
        agreement.append(len(known & again) / len(known))
    assert np.mean(agreement) > 0.5


def test_events_make_of_a_user_what_training_makes_of_the_longer_history(artifact) -> None:
    scorer = ArtifactScorer.of(artifact)
    profiles = scorer.profiles
    assert profiles.recency_power > 0
    for user in range(20):
        history_H = scorer.history(user)
        known_H, live_H = history_H[:-3], history_H[-3:]
        exported = scorer.user(user)
        free_VMD = exported.vector_VMD - profiles.of_history(history_H).vector_VMD
        before_VMD = profiles.of_history(known_H).vector_VMD + free_VMD
        events = np.concatenate([known_H, live_H])
        after = profiles.of_user(profiles.changed(before_VMD, known_H, events), events)
        assert after.vector_VMD == pytest.approx(exported.vector_VMD, abs=1e-5)
        assert scorer.scorer.score(after) == pytest.approx(scorer.scorer.score(exported), abs=1e-4)
        assert not free_VMD[:, 1:].round(5).any()


def test_an_explanation_names_nothing_that_the_user_disliked(client, artifact) -> None:
    """Each user of the tiny shop rated one item at 1 and the ten that made her vector at 5."""
    tensors = artifact.tensors
    for user in range(0, 58, 7):
        disliked = f"i{(user + 1) % 2 + 2 * (user % 7):03d}"
        assert tensors["history_lengths"][user] < 11
        for item in ("i000", "i001", "i038"):
            pair = answer(client, f"/v1/users/u{user:03d}/explanations/{item}")
            assert disliked not in [evidence["item_id"] for evidence in pair["history"]]


def test_a_session_is_weighted_from_the_item_named_last(client) -> None:
    def scores(*session: str) -> dict[str, float]:
        body = {"session_items": session, "k": 40, "exclude_seen": False}
        items = client.post("/v1/recommendations", json=body).json()["items"]
        return {item["item_id"]: item["score"] for item in items}

    latest = scores("i003", "i001")
    assert scores("i001", "i003", "i001") == pytest.approx(latest, rel=1e-6, abs=1e-5)
    assert scores("i001", "i003") != pytest.approx(latest, abs=1e-5)
