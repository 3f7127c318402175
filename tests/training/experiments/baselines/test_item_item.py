"""Closed forms against hand-made answers: withheld diagonals, dense formulas, ridge regressions."""

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray
from scipy.sparse import csr_array

from training.evaluate.closed_forms import (
    EASE,
    MAX_MEMORY,
    BaselineError,
    ItemKNN,
    Popularity,
    nearest,
)
from training.experiments.baselines.item_item import ItemKNNResidual, P3Alpha, RecencyEASE, RP3Beta

PERSONALISED = [
    ItemKNN(neighbours=20, shrinkage=0.0, user_damping=0.0),
    ItemKNN(neighbours=20, shrinkage=10.0, user_damping=0.5),
    ItemKNNResidual(weight=0.4, neighbours=20),
    P3Alpha(alpha=0.8, neighbours=20),
    RP3Beta(alpha=0.8, beta=0.4, neighbours=20),
    EASE(penalty=1.0, user_damping=0.0),
    EASE(penalty=1.0, user_damping=0.5),
]


def checkerboard(size: int = 12) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Users like items of their own parity; the diagonal is withheld, so it is the right answer."""
    likes = np.fromfunction(lambda u, i: (u + i) % 2 == 0, (size, size))
    held_out = np.eye(size, dtype=bool)
    return likes & ~held_out, held_out


@pytest.mark.parametrize("model", PERSONALISED, ids=repr)
def test_the_withheld_item_of_a_checkerboard_comes_first(model, make_dataset):
    train, held_out = checkerboard()
    score = model.fit(make_dataset(train))(np.arange(12))
    score[train] = -np.inf
    np.testing.assert_array_equal(score.argmax(axis=1), held_out.argmax(axis=1))
    assert score.dtype == np.float32


@pytest.mark.parametrize("model", [Popularity(), *PERSONALISED], ids=repr)
def test_cold_items_and_users_have_finite_scores(model, make_dataset):
    dataset = make_dataset(np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]]))
    score = model.fit(dataset)(np.arange(3))
    assert score.shape == (3, 3)
    assert np.isfinite(score).all()


@pytest.mark.parametrize("model", PERSONALISED, ids=repr)
def test_a_user_is_scored_alike_alone_and_in_company(model, make_dataset):
    score = model.fit(make_dataset(checkerboard()[0]))
    np.testing.assert_allclose(score(np.array([5])), score(np.arange(12))[[5]], rtol=1e-6)


def test_popularity_counts(make_dataset):
    dataset = make_dataset(np.array([[1, 1, 0], [1, 0, 0]]))
    assert Popularity().fit(dataset)(np.array([1])).tolist() == [[2, 1, 0]]


@pytest.mark.parametrize(("damping", "squares"), [(0.0, 4.0), (0.5, 3 + 0.5**0.5)])
def test_item_knn_is_the_shrunk_cosine(damping: float, squares: float, make_dataset):
    dataset = make_dataset(np.array([[1, 1], [1, 0], [1, 0], [1, 0]]))
    score = ItemKNN(neighbours=5, shrinkage=3.0, user_damping=damping).fit(dataset)
    shared = 0.5**damping
    expected = shared / (np.sqrt(squares * shared) + 3)
    np.testing.assert_allclose(score(np.array([1])), [[0, expected]], rtol=1e-6)


def test_item_knn_keeps_the_nearest_only(make_dataset):
    rng = np.random.default_rng(0)
    dense = (rng.random((30, 9)) < 0.5).astype(np.float32)
    common = dense.T @ dense
    cosine = common / np.sqrt(np.outer(common.diagonal(), common.diagonal()))
    np.fill_diagonal(cosine, 0)
    for row in cosine:
        row[np.argsort(-row, kind="stable")[3:]] = 0
    score = ItemKNN(neighbours=3, shrinkage=0.0, user_damping=0.0).fit(make_dataset(dense))
    np.testing.assert_allclose(score(np.arange(30)), dense @ cosine, rtol=1e-5)


def test_the_residual_is_a_z_score_beside_that_of_popularity(make_dataset):
    """The scored item chooses the neighbours, and the factor of Eq. 12 makes no difference."""
    rng = np.random.default_rng(0)
    dense = (rng.random((30, 9)) < np.linspace(0.9, 0.2, 9)).astype(np.float64)
    count = dense.sum(axis=0)
    overlap = dense.T @ dense / np.sqrt(np.outer(count, count))
    np.fill_diagonal(overlap, 0)
    evidence = np.zeros((30, 9))
    for user, item in np.ndindex(30, 9):
        near = np.argsort(-overlap[item], kind="stable")[:3]
        evidence[user, item] = sum(overlap[item, j] for j in near if dense[user, j])
    evidence /= np.sqrt(np.maximum(dense.sum(axis=1), 1))[:, None]
    residual = scipy.stats.zscore(evidence, axis=1)
    expected = scipy.stats.zscore(np.log1p(count)) + 0.4 * residual
    score = ItemKNNResidual(weight=0.4, neighbours=3).fit(make_dataset(dense))
    np.testing.assert_allclose(score(np.arange(30)), expected, atol=1e-5)


def test_without_history_the_residual_leaves_popularity(make_dataset):
    dataset = make_dataset(np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]]))
    score = ItemKNNResidual(weight=5.0).fit(dataset)(np.array([2]))
    np.testing.assert_allclose(score[0], scipy.stats.zscore(np.log1p([2, 1, 0])), rtol=1e-6)


def test_the_nearest_are_found_over_many_blocks_of_rows():
    rng = np.random.default_rng(0)
    dense = (rng.random((40, 1100)) < 0.1).astype(np.float32)
    product = dense.T @ dense
    np.fill_diagonal(product, 0)
    for row in product:
        row[np.argsort(-row, kind="stable")[7:]] = 0
    matrix = csr_array(dense)
    kept = nearest(csr_array(matrix.T), matrix, neighbours=7)
    np.testing.assert_array_equal(kept.toarray(), product)


@pytest.mark.parametrize(
    ("model", "beta"),
    [
        (P3Alpha(alpha=0.7, neighbours=3), 0.0),
        (RP3Beta(alpha=0.7, beta=0.4, neighbours=3), 0.4),
    ],
    ids=repr,
)
def test_the_walk_is_over_the_damped_degree(model, beta: float, make_dataset):
    dense = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 0]], dtype=np.float32)
    to_item = (dense / dense.sum(1, keepdims=True)) ** 0.7
    to_user = (dense.T / dense.sum(0)[:, None]) ** 0.7
    walk = to_user @ to_item / dense.sum(0) ** beta
    np.fill_diagonal(walk, 0)
    score = model.fit(make_dataset(dense))
    np.testing.assert_allclose(score(np.arange(3)), dense @ walk, rtol=1e-5)


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_ease_solves_its_ridge_regression_with_a_zero_diagonal(damping: float, make_dataset):
    """Each column is the weighted ridge regression of that item on all the others."""
    rng = np.random.default_rng(0)
    dense = (rng.random((40, 6)) < 0.4).astype(np.float64)
    weight = np.maximum(dense.sum(1), 1) ** -damping
    score = EASE(penalty=2.0, user_damping=damping).fit(make_dataset(dense))
    expected = np.zeros((6, 6))
    for item, others in ((i, [j for j in range(6) if j != i]) for i in range(6)):
        x = dense[:, others]
        gram = x.T @ (weight[:, None] * x) + 2.0 * np.eye(5)
        expected[others, item] = np.linalg.solve(gram, x.T @ (weight * dense[:, item]))
    np.testing.assert_allclose(score(np.arange(40)), dense @ expected, atol=1e-5)


def test_ease_is_put_together_of_blocks():
    rng = np.random.default_rng(0)
    train = csr_array((rng.random((300, 530)) < 0.05).astype(np.float32))
    precision = np.linalg.inv((train.T @ train).toarray() + 10.0 * np.eye(530))
    expected = -precision / np.diag(precision)
    np.fill_diagonal(expected, 0)
    weights = EASE(penalty=10.0, user_damping=0.0).weights(train)
    np.testing.assert_allclose(weights, expected, atol=1e-5)


def test_ease_refuses_a_catalogue_it_cannot_hold():
    num_items = int((MAX_MEMORY / 12) ** 0.5) + 1
    train = csr_array((2, num_items), dtype=np.float32)
    with pytest.raises(BaselineError, match=r"EASE is left out: .* 37,838 items need 16 GiB"):
        EASE(penalty=1.0, user_damping=0.0).weights(train)


def test_recency_means_nothing_without_time(make_dataset):
    dataset = make_dataset(checkerboard()[0])
    with pytest.raises(BaselineError, match="hand-made has no time"):
        RecencyEASE(ease=EASE(penalty=1.0, user_damping=0.0), power=1.0).fit(dataset)
