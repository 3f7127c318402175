"""Explanations add up, over HTTP, for a thousand random pairs of a trained model."""

import random

import pytest

from model.artifact.files import read_artifact
from service.ops.settings import Settings

PAIRS = 1000
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def trained(artifact_dir, serving, until):
    with serving(Settings(artifact_dir=artifact_dir)) as client:
        until(client.ready)
        yield client


@pytest.fixture(scope="module")
def pairs(artifact_dir):
    """(user or session, items), so that there are `PAIRS` of them; by a seed."""
    artifact = read_artifact(artifact_dir)
    items = [f"i{row:03d}" for row in range(artifact.manifest.num_items)]
    dice = random.Random(7)
    groups = []
    for turn in range(PAIRS // 20):
        who = {"session_items": dice.sample(items, 3)}
        if turn % 2:
            who = {"user_id": f"u{dice.randrange(artifact.manifest.num_users - 1):03d}"}
        groups.append((who, dice.sample(items, 20)))
    assert sum(len(chosen) for _, chosen in groups) == PAIRS
    return groups


def assert_adds_up(item, scale: float) -> None:
    total = item["bias"] + sum(expert["contribution"] for expert in item["experts"])
    assert total == pytest.approx(item["score"], abs=TOLERANCE * scale)
    assert sum(expert["weight"] for expert in item["experts"]) == pytest.approx(1, abs=TOLERANCE)


@pytest.mark.timeout(180)
def test_contributions_and_bias_are_the_score(trained, pairs) -> None:
    for who, chosen in pairs:
        body = who | {"candidates": chosen, "exclude_seen": False, "k": 20, "explain": "full"}
        listed = trained.post("/v1/recommendations", json=body).json()
        assert {item["item_id"] for item in listed["items"]} == set(chosen)
        for item in listed["items"]:
            scale = max(1.0, abs(item["score"]))
            assert_adds_up(item, scale)
            for part in ("by_modality", "by_view"):
                total = item["bias"] + sum(item[part].values())
                assert total == pytest.approx(item["score"], abs=TOLERANCE * scale)
            pair = who | {"item_id": item["item_id"]}
            explained = trained.post("/v1/explain", json=pair).json()
            assert_adds_up(explained, scale)
            assert explained["score"] == pytest.approx(item["score"], abs=TOLERANCE * scale)
            assert explained["model_version"] == listed["model_version"]
