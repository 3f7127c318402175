from math import log2

import numpy as np
import pytest

from training.evaluate.protocol import coverage, ndcg_at_k, paired_bootstrap, recall_at_k

HITS = np.array([[True, False, True, False], [False, True, False, False], [False] * 4])
RELEVANT = np.array([3, 1, 0])


def test_recall_is_hits_over_relevant():
    np.testing.assert_allclose(recall_at_k(HITS, RELEVANT, 2), [1 / 3, 1 / 1, np.nan])
    np.testing.assert_allclose(recall_at_k(HITS, RELEVANT, 4), [2 / 3, 1 / 1, np.nan])


def test_ndcg_discounts_by_rank_and_divides_by_the_best_possible_list():
    ideal_3 = 1 + 1 / log2(3) + 1 / log2(4)
    expected = [(1 + 1 / log2(4)) / ideal_3, 1 / log2(3), np.nan]
    np.testing.assert_allclose(ndcg_at_k(HITS, RELEVANT, 4), expected)


def test_ndcg_of_a_full_list_of_hits_is_one_even_if_more_are_relevant():
    hits = np.ones((1, 2), dtype=bool)
    np.testing.assert_allclose(ndcg_at_k(hits, np.array([30]), 2), [1.0])


def test_ndcg_of_a_list_shorter_than_k():
    np.testing.assert_allclose(
        ndcg_at_k(np.array([[False, True]]), np.array([1]), 20), [1 / log2(3)]
    )


def test_coverage_counts_distinct_items():
    assert coverage(np.array([[0, 1], [1, 2]]), num_items=10) == 3 / 10


def test_bootstrap_interval_of_a_constant_difference_is_a_point():
    assert paired_bootstrap(np.full(9, 0.75), np.full(9, 0.5), seed=0) == (0.25, 0.25, 0.25)


def test_bootstrap_interval_has_the_width_of_the_standard_error():
    difference = np.random.default_rng(1).normal(0.1, 1.0, 2_000)
    mean, low, high = paired_bootstrap(difference, np.zeros(2_000), seed=3)
    standard_error = difference.std() / np.sqrt(2_000)
    assert mean == pytest.approx(difference.mean())
    assert low == pytest.approx(mean - 1.96 * standard_error, abs=0.2 * standard_error)
    assert high == pytest.approx(mean + 1.96 * standard_error, abs=0.2 * standard_error)


@pytest.mark.parametrize("values", [[], [np.nan, 1.0]])
def test_bootstrap_refuses_what_it_cannot_average(values: list[float]):
    with pytest.raises(ValueError, match="at least one pair and finite"):
        paired_bootstrap(np.array(values), np.zeros(len(values)), seed=0)
