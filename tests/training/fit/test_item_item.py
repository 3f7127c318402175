from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy.sparse import csr_array

from training.data.histories import Histories
from training.fit import item_item
from training.fit.item_item import (
    ALPHA,
    BETA,
    FEWEST_NEIGHBOURS,
    LONGEST,
    MOST_NEIGHBOURS,
    MOST_WEIGHTS,
    PENALTY,
    USER_DAMPING,
    in_order,
    item_item_scores,
    item_item_weights,
    num_neighbours,
    standardised,
)


def histories_of(likes_UI: np.ndarray) -> Histories:
    return Histories.of(*likes_UI.nonzero(), None, likes_UI.shape)


def by_hand(likes_UI: np.ndarray) -> np.ndarray:
    """All weights [I, I] by the normal equations and the walk's formula; few items, so all near."""
    x_UI = likes_UI * np.maximum(likes_UI.sum(1, keepdims=True), 1) ** -USER_DAMPING
    gram_II, count_I = x_UI.T @ x_UI, likes_UI.sum(0)
    regressed_II = np.zeros_like(gram_II)
    for item in range(len(gram_II)):
        others = np.delete(np.arange(len(gram_II)), item)
        system = gram_II[np.ix_(others, others)] + PENALTY * np.eye(len(others))
        regressed_II[others, item] = np.linalg.solve(system, gram_II[others, item])
    walked_II = gram_II * np.outer(count_I**-ALPHA, count_I**-BETA)
    np.fill_diagonal(walked_II, 0)
    scales = [
        (count_I @ np.abs(kind_II).sum(1)) / count_I.sum() for kind_II in (regressed_II, walked_II)
    ]
    return regressed_II / scales[0] / 2 + walked_II / scales[1] / 2


def test_weights_are_the_mean_of_regression_and_walk() -> None:
    likes_UI = np.random.default_rng(0).random((90, 12)) < 0.4
    weights_II = item_item_weights(histories_of(likes_UI)).toarray()
    assert weights_II == pytest.approx(by_hand(likes_UI), abs=1e-6)


def ordered(seed: int, num_users: int, num_items: int) -> Histories:
    """Each user's items in an order of their own."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(num_items)[: rng.integers(1, num_items)] for _ in range(num_users)]
    user_N = np.repeat(np.arange(num_users), [len(row) for row in rows])
    item_N = np.concatenate(rows)
    return Histories.of(user_N, item_N, np.arange(len(item_N)) / 7, (num_users, num_items))


def order_by_hand(histories: Histories) -> np.ndarray:
    """Weights [I, I] of the items that come soon before others, pair by pair."""
    weight_II = np.zeros((histories.num_items, histories.num_items))
    for start, stop in pairwise(histories.offset_U1):
        items = histories.item_P[start:stop]
        for (i, before), (j, after) in combinations(enumerate(items), 2):
            if j - i <= 20:
                weight_II[before, after] += 1 / (j - i)
                weight_II[after, before] += 0.5 / (j - i)
    count_I = np.bincount(histories.item_P, minlength=histories.num_items)
    weight_II /= np.sqrt(np.outer(count_I, count_I))
    return weight_II * count_I.sum() / (count_I @ weight_II.sum(1))


def test_order_counts_half_where_it_is_known() -> None:
    histories = ordered(0, 40, 30)
    likes_UI = histories.recency_weighted(0.0).toarray() > 0
    expected_II = (by_hand(likes_UI) + order_by_hand(histories)) / 2
    weights_II = item_item_weights(histories).toarray()
    assert weights_II == pytest.approx(expected_II, abs=1e-6)
    before_II, after_II = np.triu(expected_II, 1), np.tril(expected_II, -1)
    assert not np.allclose(before_II, after_II.T, atol=0.01)


def test_where_nothing_follows_anything_order_says_nothing() -> None:
    one_each = Histories.of(np.arange(3), np.arange(3), np.arange(3.0), (3, 3))
    assert item_item_weights(one_each).nnz == 0


def test_no_item_has_a_weight_for_itself() -> None:
    likes_UI = np.random.default_rng(1).random((200, 60)) < 0.2
    assert not item_item_weights(histories_of(likes_UI)).diagonal().any()


def test_a_row_keeps_its_largest_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    weight_II = np.random.default_rng(2).normal(size=(5, 9)).astype(np.float32)
    kept_II = item_item._largest(csr_array(weight_II), 3).toarray()
    largest_X3 = np.sort(np.abs(weight_II), axis=1)[:, -3:]
    assert np.sort(np.abs(kept_II), axis=1)[:, -3:] == pytest.approx(largest_X3)
    assert (np.count_nonzero(kept_II, axis=1) == 3).all()
    assert (kept_II[kept_II != 0] == weight_II[kept_II != 0]).all()
    monkeypatch.setattr(item_item, "MOST_NEIGHBOURS", 7)
    assert np.diff(item_item_weights(ordered(1, 60, 40)).indptr).max() == 7


def test_many_items_have_fewer_neighbours_each() -> None:
    assert num_neighbours(1_000) == MOST_NEIGHBOURS
    assert num_neighbours(40_000) * 40_000 == pytest.approx(MOST_WEIGHTS, rel=0.01)
    assert num_neighbours(10**7) == FEWEST_NEIGHBOURS


def test_items_that_nobody_shares_have_no_neighbours() -> None:
    likes_UI = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], dtype=bool)
    weights_II = item_item_weights(histories_of(likes_UI)).toarray()
    assert weights_II[0, 1] > 0
    assert not weights_II[2:].any()
    assert not weights_II[:, 2:].any()


def test_only_the_newest_positives_of_a_heavy_user_are_regressed_and_walked() -> None:
    item_N = np.arange(LONGEST + 2)
    user_N, time_N = np.zeros_like(item_N), item_N.astype(float)
    histories = Histories.of(user_N, item_N, time_N, (1, len(item_N)))
    weights_II = item_item_weights(histories) - in_order(histories) / np.float32(2)
    said_I = np.abs(weights_II).sum(axis=1)
    assert said_I[:2] == pytest.approx(0, abs=1e-6)
    assert (said_I[2:] > 0.01).sum() >= LONGEST // 2


def test_a_score_is_the_mean_over_the_history() -> None:
    weights_II = csr_array(np.array([[0, 1, 0], [2, 0, 4], [0, 0, 0]], dtype=np.float32))
    history_BI = csr_array(np.array([[1, 3, 0], [0, 0, 0], [0, 0, 5]], dtype=np.float32))
    assert item_item_scores(history_BI, weights_II) == pytest.approx(
        np.array([[1.5, 0.25, 3], [0, 0, 0], [0, 0, 0]])
    )


def test_standardised_scores_have_a_deviation_of_one_or_none() -> None:
    score_BI = np.random.default_rng(0).normal(3, 5, (4, 50)).astype(np.float32)
    score_BI[2] = 0.25
    scaled_BI = standardised(score_BI)
    assert scaled_BI.std(axis=1) == pytest.approx(np.array([1, 1, 0, 1]), abs=1e-5)
    assert not scaled_BI[2].any()
    assert scaled_BI[0] / score_BI[0] == pytest.approx(np.full(50, 1 / score_BI[0].std()))
