"""Pairs of several users by the parts of the graph, beside the whole graph user by user."""

import numpy as np
import pytest

from deploy.benchmarks.serving.grown import grown_artifact
from model.runtime import scorer as scorer_module
from model.runtime.artifact import ArtifactScorer
from model.runtime.grown import GrownRows
from model.runtime.pairs import runs


@pytest.fixture(scope="module")
def grown() -> ArtifactScorer:
    return ArtifactScorer.of(grown_artifact(300, 6, 0))


@pytest.mark.parametrize("most", [5, 4_096])
def test_scores_and_shares_are_those_of_the_whole_graph(
    grown: ArtifactScorer, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(scorer_module, "RUN_PAIRS", most)
    rng = np.random.default_rng(0)
    profiles = [grown.user(user) for user in range(6)]
    rows = [np.sort(rng.choice(300, size, replace=False)) for size in (7, 1, 30, 2, 5, 12)]
    scorer = grown.scorer
    wanted = ["score", "weight", "contribution"]
    ends = np.cumsum([len(rows_C) for rows_C in rows])[:-1]
    outputs = (np.split(each, ends) for each in scorer._of_pairs(wanted, profiles, rows))
    assert scorer._pairs is not None
    for profile, rows_C, found in zip(profiles, rows, zip(*outputs, strict=True), strict=True):
        for name, own, whole in zip(
            wanted, found, scorer._run_whole(wanted, [profile], [rows_C]), strict=True
        ):
            assert own.shape == whole.shape
            assert own == pytest.approx(whole, abs=2e-5), name
        assert found[0] == pytest.approx(scorer.score(profile)[rows_C], abs=2e-5)


def test_rows_of_added_items_are_read_like_others(grown: ArtifactScorer) -> None:
    tensors = grown.tensors
    of_items = ("item_embeddings", "item_routing", "item_bias")
    base = grown.scorer.of_items({name: tensors[name][:200] for name in of_items})
    both = base.grown_by({name: tensors[name][200:] for name in of_items})
    assert isinstance(both.bias_I, GrownRows)
    profiles = [grown.user(user) for user in range(2)]
    rows = [np.array([3, 199, 200, 299]), np.array([250])]
    for found, expected in zip(
        both.score_own(profiles, rows), grown.scorer.score_own(profiles, rows), strict=True
    ):
        assert found.score_C == pytest.approx(expected.score_C, abs=1e-5)


def test_runs_hold_no_more_pairs_than_fit() -> None:
    rows = [np.arange(size) for size in (3, 9, 1, 1, 4)]
    found = [[(place, len(part)) for place, part in run] for run in runs(rows, 5)]
    assert found == [[(0, 3)], [(1, 5)], [(1, 4), (2, 1)], [(3, 1), (4, 4)]]
