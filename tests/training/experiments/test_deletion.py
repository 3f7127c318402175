import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.experiments.faithfulness import (
    deletion_test,
    falls,
    without,
    without_and_renormalised,
)

BIAS_C = np.array([0.0, 0.1, 0.2, 0.3])
EXPERT_CK = np.array([[2.0, 0.5], [0.5, 1.5], [1.0, 0.5], [0.0, 0.0]])
WEIGHT_CK = np.array([[0.8, 0.2], [0.5, 0.5], [1.0, 0.0], [0.5, 0.5]])
SCORE_C = BIAS_C + EXPERT_CK.sum(axis=1)  # 2.5, 2.1, 1.7, 0.3


def test_without_one_the_others_stay_as_they_are() -> None:
    expected = [[0.5, 2.0], [1.6, 0.6], [0.7, 1.2], [0.3, 0.3]]
    np.testing.assert_allclose(without(BIAS_C, EXPERT_CK), expected)


def test_the_weight_of_one_is_shared_out() -> None:
    part_CK = np.array([[2.0, 0.5], [0.5, 1.5], [1.5, 0.0], [0.0, 0.0]])
    expected = [[0.5 / 0.2, 2.0 / 0.8], [0.1 + 3.0, 0.1 + 1.0], [0.2, 0.2 + 1.5], [0.3, 0.3]]
    got = without_and_renormalised(BIAS_C, part_CK, WEIGHT_CK)
    np.testing.assert_allclose(got, expected)


def test_falls_count_the_ranks_that_are_lost() -> None:
    fall_LK = falls(SCORE_C, without(BIAS_C, EXPERT_CK), np.array([0, 1, 2]))
    # Without the first: 1.6, 0.7, 0.5, 0.3; without the second: 2.0, 1.2, 0.6, 0.3.
    np.testing.assert_array_equal(fall_LK, [[2, 0], [-1, 1], [-1, -1]])


def test_equal_scores_share_a_rank() -> None:
    level_CK = np.ones((4, 1))
    fall_LK = falls(np.array([4.0, 3.0, 2.0, 1.0]), level_CK, np.arange(4))
    np.testing.assert_array_equal(fall_LK[:, 0], [1.5, 0.5, -0.5, -1.5])


def test_the_verdict_needs_a_fall_that_is_furthest() -> None:
    fall_LX = np.array([[3.0, 1.0], [1.0, 3.0], [2.0, 2.0], [0.0, 0.0], [-1.0, -2.0]])
    lead_L = np.zeros(5, dtype=np.int64)
    verdict = deletion_test([fall_LX[:2], fall_LX[2:]], [lead_L[:2], lead_L[2:]])
    assert verdict.pairs == 5
    assert verdict.passed == pytest.approx(1 / 5)
    assert verdict.undecided == pytest.approx(3 / 5)


@given(st.integers(0, 2**32 - 1))
def test_a_part_that_is_the_same_for_everyone_moves_nobody(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bias_C = rng.integers(-8, 8, size=30) / 8
    part_CX = rng.integers(-8, 8, size=(30, 3)) / 8
    part_CX[:, 1] = 0.5
    fall_LX = falls(bias_C + part_CX.sum(axis=1), without(bias_C, part_CX), np.arange(30))
    assert (fall_LX[:, 1] == 0).all()
    assert fall_LX.sum() == 0  # ranks are only handed round
