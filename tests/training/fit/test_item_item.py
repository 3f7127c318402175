import numpy as np
import pytest
from scipy.sparse import csr_array

from training.data.histories import Histories
from training.fit.item_item import (
    ALPHA,
    BETA,
    LONGEST,
    NEIGHBOURS,
    PENALTY,
    USER_DAMPING,
    item_item_scores,
    item_item_weights,
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


def test_no_item_has_a_weight_for_itself_and_few_have_one_for_each() -> None:
    rng = np.random.default_rng(1)
    likes_UI = rng.random((200, 3 * NEIGHBOURS)) < 0.2
    weights_II = item_item_weights(histories_of(likes_UI))
    assert not weights_II.diagonal().any()
    assert np.bincount(weights_II.indices, minlength=3 * NEIGHBOURS).max() == NEIGHBOURS


def test_items_that_nobody_shares_have_no_neighbours() -> None:
    likes_UI = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], dtype=bool)
    weights_II = item_item_weights(histories_of(likes_UI)).toarray()
    assert weights_II[0, 1] > 0
    assert not weights_II[2:].any()
    assert not weights_II[:, 2:].any()


def test_only_the_newest_positives_of_a_heavy_user_count() -> None:
    item_N = np.arange(LONGEST + 2)
    user_N, time_N = np.zeros_like(item_N), item_N.astype(float)
    weights_II = item_item_weights(Histories.of(user_N, item_N, time_N, (1, len(item_N))))
    assert set(np.unique(weights_II.tocoo().row)).isdisjoint({0, 1})
    assert weights_II.nnz == LONGEST * NEIGHBOURS


def test_a_score_is_the_mean_over_the_history() -> None:
    weights_II = csr_array(np.array([[0, 1, 0], [2, 0, 4], [0, 0, 0]], dtype=np.float32))
    history_BI = csr_array(np.array([[1, 3, 0], [0, 0, 0], [0, 0, 5]], dtype=np.float32))
    assert item_item_scores(history_BI, weights_II) == pytest.approx(
        np.array([[1.5, 0.25, 3], [0, 0, 0], [0, 0, 0]])
    )
