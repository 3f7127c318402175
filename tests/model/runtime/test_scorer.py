import numpy as np
import pytest

from model.artifact.files import ArtifactError
from model.runtime import scorer as scorer_module
from model.runtime.scorer import OnnxScorer


def scorer_of(artifact, **files: bytes) -> OnnxScorer:
    return OnnxScorer({**artifact.files, **files}, artifact.tensors)


@pytest.mark.parametrize("block_rows", [1, 7, 80, 8192])
def test_scores_do_not_depend_on_blocks_or_on_who_else_is_scored(
    artifact, reference, profile_of, monkeypatch, block_rows: int
) -> None:
    monkeypatch.setattr(scorer_module, "BLOCK_ROWS", block_rows)
    user = profile_of(artifact.tensors, 3)
    assert 5 < len(user.item_item) < 79
    expected, _, _ = reference(artifact.tensors, user, np.arange(80))
    scorer = scorer_of(artifact)
    assert scorer.score(user) == pytest.approx(expected, abs=1e-5)
    rows = np.array([70, 3, 41])
    assert scorer.score(user, rows) == pytest.approx(expected[rows], abs=1e-5)
    assert scorer.score(user, np.empty(0, dtype=np.intp)).shape == (0,)


def test_breakdown_adds_up_to_the_score(artifact, reference, profile_of) -> None:
    user = profile_of(artifact.tensors, 3)
    assert 5 < len(user.item_item) < 79
    rows = np.array([5, 17, 60])
    scores, weight, contribution = reference(artifact.tensors, user, rows)
    scorer = scorer_of(artifact)
    breakdown = scorer.explain(user, rows)
    assert breakdown.weight_CK == pytest.approx(weight, abs=1e-5)
    assert breakdown.contribution_CKVM == pytest.approx(contribution, abs=1e-5)
    bias = artifact.tensors["item_bias"][rows]
    assert bias + breakdown.contribution_CKVM.sum((1, 2, 3)) == pytest.approx(scores, abs=1e-5)


def test_a_file_that_is_no_graph_is_refused_by_name(artifact) -> None:
    with pytest.raises(ArtifactError, match=r"head\.onnx cannot be loaded"):
        scorer_of(artifact, **{"head.onnx": b"not a graph"})


def test_a_graph_of_another_interface_is_refused(artifact) -> None:
    with pytest.raises(ArtifactError, match=r"explain\.onnx maps .* expected"):
        scorer_of(artifact, **{"explain.onnx": artifact.files["head.onnx"]})
