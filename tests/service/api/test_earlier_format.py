"""An artifact of the format before the present one, version 3, is served as it was meant."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from service.ops.settings import Settings

EXPERT = {"role": "balanced", "modality": None, "template": [0.4, 0.3, 0.3], "usual_weight": 0.2}
"""Everything here is as version 3 was written: names, types and files by hand."""


def spec(array: np.ndarray) -> dict[str, object]:
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": digest}


@pytest.fixture
def folder(make_artifact, tmp_path) -> Path:
    artifact = make_artifact("v1", 1, deviation=None)
    for name, array in artifact.tensors.items():
        np.save(tmp_path / f"{name}.npy", array)
    for name, data in artifact.files.items():
        (tmp_path / name).write_bytes(data)
    epoch = {
        "epoch": 0,
        "stage": "coverage",
        "loss": 3.0,
        "loss_terms": {"ranking": 3.0},
        "valid_ndcg20": 0.1,
        "coverage_entropy": 0.9,
        "pair_entropy": 0.8,
        "expert_shares": [0.2] * 5,
        "seconds": 1.0,
    }
    golden = artifact.manifest.golden
    manifest = {
        "schema_version": 3,
        "model_version": "20260101T000000-0123abcd",
        "created_at": "2026-01-01T00:00:00+00:00",
        "num_users": 30,
        "num_items": 80,
        "views": ["interaction", "augmented"],
        "modalities": ["behaviour", "text", "picture"],
        "embedding_dim": 8,
        "experts": [{"name": f"balanced_{place}", **EXPERT} for place in range(5)],
        "gate_threshold": 0.5,
        "recency_power": 0.0,
        "chunk_bytes": 261888,
        "tensors": {
            name: spec(artifact.tensors[name])
            for name in (
                *("user_embeddings", "item_embeddings", "item_foldin", "item_routing"),
                *("item_bias", "item_popularity", "seen_offsets", "seen_items", "history_lengths"),
                *("neighbourhood_offsets", "neighbourhood_items", "neighbourhood_weights"),
                *("user_ids_blob", "user_ids_offsets", "item_ids_blob", "item_ids_offsets"),
                *("item_metadata_blob", "item_metadata_offsets"),
            )
        },
        "files": {
            name: {"num_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in artifact.files.items()
        },
        "golden": {
            "user_rows": golden.user_rows,
            "item_rows": golden.item_rows,
            "scores": golden.scores,
            "contributions": golden.contributions,
        },
        "metrics": {"test/recall@20": 0.1},
        "training": {
            "data_sha256": "0" * 64,
            "split": "time",
            "seed": 0,
            "best_epoch": 0,
            "trigger_epoch": None,
            "config": {"data": {}, "training": {}},
            "history": [epoch],
            "early": False,
            "held_out": "unseen",
        },
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_item_item_scores_are_taken_as_they_are(
    folder, make_artifact, reference, profile_of, serving, until
) -> None:
    tensors = make_artifact("v1", 1, deviation=None).tensors
    score_I, _, _ = reference(tensors, profile_of(tensors, 4, deviation=None), np.arange(80))
    with serving(Settings(artifact_dir=folder)) as client:
        until(client.ready)
        for item in client.recommend("u004", k=20)["items"]:
            row = int(item["item_id"][1:])
            assert item["score"] == pytest.approx(score_I[row], abs=1e-5)
        explained = client.get("/v1/users/u004/explanations/i003").json()
        assert explained["score"] == pytest.approx(score_I[3], abs=1e-5)
