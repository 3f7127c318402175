import hashlib
import json

import numpy as np
import pytest

from model.artifact.files import read_artifact
from model.runtime.artifact import ArtifactScorer, GoldenMismatch, check_golden


def test_profiles_and_scores_are_those_of_the_definition(artifact, reference, profile_of) -> None:
    scorer, everything = ArtifactScorer.of(artifact), np.arange(80)
    users = [0, 3, 29]  # the last one has no usable history
    scores_BI = scorer.scorer.score_all([scorer.user(user) for user in users])
    for user, score_I in zip(users, scores_BI, strict=True):
        expected, _, _ = reference(artifact.tensors, profile_of(artifact.tensors, user), everything)
        assert score_I == pytest.approx(expected, abs=1e-5)


def test_a_history_makes_the_profile_of_the_user_who_has_it_but_for_their_free_part(
    artifact,
) -> None:
    scorer = ArtifactScorer.of(artifact)
    user = scorer.user(3)
    again = scorer.profiles.of_history(scorer.history(3))
    free_VMD = user.vector_VMD - again.vector_VMD
    assert free_VMD[:, 1:] == pytest.approx(0, abs=1e-6)
    assert free_VMD[0, 0] == pytest.approx(free_VMD[1, 0], abs=1e-6)
    assert np.linalg.norm(free_VMD[0, 0]) > 0.1
    rows = np.arange(80)
    assert again.item_item.at(rows) == pytest.approx(user.item_item.at(rows))


def test_lists_leave_out_what_is_excluded(artifact) -> None:
    scorer = ArtifactScorer.of(artifact)
    profiles = [scorer.user(user) for user in (0, 3)]
    top_BK = scorer.top(profiles, 10, [scorer.seen(0), np.array([7])])
    for profile, excluded, top_K in zip(profiles, [scorer.seen(0), [7]], top_BK, strict=True):
        score_I = scorer.scorer.score(profile)
        score_I[excluded] = -np.inf
        assert top_K.tolist() == np.argsort(-score_I, kind="stable")[:10].tolist()


def test_other_scores_than_at_export_are_refused(artifact) -> None:
    scorer, golden = ArtifactScorer.of(artifact), artifact.manifest.golden
    profiles = [scorer.user(row) for row in golden.user_rows]
    check_golden(golden, scorer.scorer, profiles)
    with pytest.raises(GoldenMismatch, match="golden user 0: the score differs"):
        check_golden(golden, scorer.scorer, profiles[::-1])


EXPERT = {"role": "balanced", "modality": None, "template": [0.4, 0.3, 0.3], "usual_weight": 0.2}
"""Everything that follows is as the first release wrote it: names, types and files by hand."""


def spec(array: np.ndarray) -> dict[str, object]:
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": digest}


def test_an_artifact_of_the_first_release_is_scored(
    make_artifact, reference, profile_of, tmp_path
) -> None:
    artifact = make_artifact("v1", 1, deviation=None)
    for name, array in artifact.tensors.items():
        np.save(tmp_path / f"{name}.npy", array)
    for name, data in artifact.files.items():
        (tmp_path / name).write_bytes(data)
    epoch = {
        "epoch": 0,
        "stage": "coverage",
        "loss": 3.0,
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
        },
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    opened = read_artifact(tmp_path)
    assert opened.manifest.item_item_deviation is None
    scorer = ArtifactScorer.of(opened)
    profiles = [scorer.user(row) for row in opened.manifest.golden.user_rows]
    check_golden(opened.manifest.golden, scorer.scorer, profiles)
    profile = profile_of(artifact.tensors, 0, deviation=None)
    expected, _, _ = reference(artifact.tensors, profile, np.arange(80))
    assert scorer.scorer.score(profiles[0]) == pytest.approx(expected, abs=1e-5)
