"""Who is named for the items of lists: compiled, beside numpy."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.runtime import evidence
from model.runtime.artifact import ArtifactScorer
from model.runtime.evidence import ListedItems
from model.runtime.grown import GrownRows
from model.runtime.native import kernels
from model.runtime.profile import row_lengths


@pytest.fixture(scope="module")
def scorer(artifact) -> ArtifactScorer:
    return ArtifactScorer.of(artifact)


def both_ways(maker, scorer, lists, contribution_BNG, newest):
    given_ = maker, scorer.tensors["item_embeddings"], lists, contribution_BNG, newest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "evidence", lambda *_: pytest.fail("numpy was used"))
        found = evidence.top_evidence(*given_)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_loaded", lambda: None)
        return found, evidence.top_evidence(*given_)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    num_lists=st.integers(1, 4),
    num_rows=st.integers(1, 20),
    newest=st.integers(1, 50),
    loud=st.sampled_from([0.0, 1.0]),
    silent=st.sampled_from([[], [1], [0, 2]]),
)
def test_who_is_named_is_who_numpy_names(
    compiled, scorer, seed, num_lists, num_rows, newest, loud, silent
) -> None:
    rng = np.random.default_rng(seed)
    num_items = len(scorer.tensors["item_bias"])
    num_shown = int(rng.integers(1, num_rows + 1))
    foldin_IVMD = scorer.profiles.foldin_IVMD.copy()
    foldin_IVMD[:, :, silent] = 0
    maker = replace(scorer.profiles, foldin_IVMD=foldin_IVMD, length_IG=row_lengths(foldin_IVMD))
    lists, contributions = [], []
    for _ in range(num_lists):
        size = int(rng.choice([1, 2, 5, 30]))
        history_H = rng.choice(num_items, size, replace=False)
        profile = maker.of_history(history_H)
        lists.append(
            ListedItems(rng.choice(num_items, num_rows, replace=False), profile, [history_H])
        )
        breakdown = scorer.scorer.explain(profile, lists[-1].rows_R[:num_shown])
        contributions.append(breakdown.contribution_CKVM.sum(axis=1).reshape(num_shown, -1))
    contribution_BNG = np.float32(loud) * np.array(contributions)
    found, expected = both_ways(maker, scorer, lists, contribution_BNG, newest)
    np.testing.assert_allclose(found.share_BNX, expected.share_BNX, atol=1e-4)
    is_named = expected.share_BNX > 0
    assert (found.rows_BNX == expected.rows_BNX)[is_named].all()
    first = is_named[..., 0]
    np.testing.assert_allclose(
        found.first_BNG[first], expected.first_BNG[first], rtol=1e-3, atol=1e-4
    )


def test_items_that_came_later_are_left_to_numpy(compiled, scorer) -> None:
    profile, history_H = scorer.user(0), scorer.history(0)
    embeddings = scorer.tensors["item_embeddings"]
    grown = GrownRows(embeddings, embeddings[:1])
    contribution_BNG = np.ones((1, 2, scorer.profiles.length_IG.shape[1]), dtype=np.float32)
    for rows in ([0, 1], [0, len(embeddings)]):
        listed = ListedItems(np.array(rows), profile, [history_H])
        found = evidence.top_evidence(scorer.profiles, grown, [listed], contribution_BNG, 50)
        assert found.share_BNX.shape == (1, 2, 3)
        assert (found.share_BNX.sum(axis=2) <= 1.0001).all()
