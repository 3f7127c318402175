from itertools import product

import numpy as np
import pytest
from scipy.sparse import csr_array

from training.baselines import (
    EASE,
    GRIDS,
    MAX_EASE_ITEMS,
    BaselineError,
    ItemKNN,
    Popularity,
    RP3beta,
    tune,
)

PERSONALISED = [
    ItemKNN(neighbours=20, shrinkage=0.0, user_damping=0.0),
    ItemKNN(neighbours=20, shrinkage=10.0, user_damping=0.5),
    RP3beta(alpha=0.8, beta=0.4, neighbours=20),
    EASE(penalty=1.0, user_damping=0.0),
    EASE(penalty=1.0, user_damping=0.5),
]


def checkerboard(size: int = 12) -> tuple[csr_array, csr_array]:
    """Users like items of their own parity; the diagonal is withheld, so it is the right answer."""
    likes = np.fromfunction(lambda u, i: (u + i) % 2 == 0, (size, size))
    held_out = np.eye(size, dtype=bool)
    return csr_array(likes & ~held_out, dtype=np.float32), csr_array(held_out, dtype=np.float32)


@pytest.mark.parametrize("model", PERSONALISED, ids=repr)
def test_the_withheld_item_of_a_checkerboard_comes_first(model):
    train, held_out = checkerboard()
    score = model.fit(train)(np.arange(12))
    score[train.toarray() > 0] = -np.inf
    np.testing.assert_array_equal(score.argmax(axis=1), held_out.toarray().argmax(axis=1))
    assert score.dtype == np.float32


@pytest.mark.parametrize("model", [Popularity(), *PERSONALISED], ids=repr)
def test_cold_items_and_users_have_finite_scores(model):
    train = csr_array(np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]]), dtype=np.float32)
    score = model.fit(train)(np.arange(3))
    assert score.shape == (3, 3)
    assert np.isfinite(score).all()


@pytest.mark.parametrize("model", PERSONALISED, ids=repr)
def test_a_user_is_scored_alike_alone_and_in_company(model):
    train, _ = checkerboard()
    score = model.fit(train)
    np.testing.assert_allclose(score(np.array([5])), score(np.arange(12))[[5]], rtol=1e-6)


def test_popularity_counts():
    train = csr_array(np.array([[1, 1, 0], [1, 0, 0]]), dtype=np.float32)
    assert Popularity().fit(train)(np.array([1])).tolist() == [[2, 1, 0]]


def test_item_knn_is_the_shrunk_cosine():
    train = csr_array(np.array([[1, 1], [1, 0], [1, 0], [1, 0]]), dtype=np.float32)
    score = ItemKNN(neighbours=5, shrinkage=3.0, user_damping=0.0).fit(train)
    np.testing.assert_allclose(score(np.array([1])), [[0, 1 / (np.sqrt(4 * 1) + 3)]])


def test_item_knn_keeps_the_nearest_only():
    rng = np.random.default_rng(0)
    dense = (rng.random((30, 9)) < 0.5).astype(np.float32)
    common = dense.T @ dense
    cosine = common / np.sqrt(np.outer(common.diagonal(), common.diagonal()))
    np.fill_diagonal(cosine, 0)
    for row in cosine:
        row[np.argsort(-row, kind="stable")[3:]] = 0
    score = ItemKNN(neighbours=3, shrinkage=0.0, user_damping=0.0).fit(csr_array(dense))
    np.testing.assert_allclose(score(np.arange(30)), dense @ cosine, rtol=1e-5)


def test_rp3beta_is_the_walk_over_the_damped_degree():
    dense = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 0]], dtype=np.float32)
    alpha, beta = 0.7, 0.4
    to_item = (dense / dense.sum(1, keepdims=True)) ** alpha
    to_user = (dense.T / dense.sum(0)[:, None]) ** alpha
    walk = to_user @ to_item / dense.sum(0) ** beta
    np.fill_diagonal(walk, 0)
    score = RP3beta(alpha=alpha, beta=beta, neighbours=3).fit(csr_array(dense))
    np.testing.assert_allclose(score(np.arange(3)), dense @ walk, rtol=1e-5)


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_ease_solves_its_ridge_regression_with_a_zero_diagonal(damping: float):
    """Each column is the weighted ridge regression of that item on all the others."""
    rng = np.random.default_rng(0)
    dense = (rng.random((40, 6)) < 0.4).astype(np.float64)
    weight = np.maximum(dense.sum(1), 1) ** -damping
    score = EASE(penalty=2.0, user_damping=damping).fit(csr_array(dense.astype(np.float32)))
    expected = np.zeros((6, 6))
    for item, others in ((i, [j for j in range(6) if j != i]) for i in range(6)):
        x = dense[:, others]
        gram = x.T @ (weight[:, None] * x) + 2.0 * np.eye(5)
        expected[others, item] = np.linalg.solve(gram, x.T @ (weight * dense[:, item]))
    np.testing.assert_allclose(score(np.arange(40)), dense @ expected, atol=1e-5)


def test_ease_refuses_a_catalogue_it_cannot_hold():
    train = csr_array((2, MAX_EASE_ITEMS + 1), dtype=np.float32)
    with pytest.raises(BaselineError, match=r"EASE is left out: 20,001 items .* 3 GiB"):
        EASE(penalty=1.0, user_damping=0.0).fit(train)


def test_tuning_never_sees_the_test_part(make_dataset):
    train, valid = checkerboard()
    candidates = [Popularity(), *GRIDS["item_knn"]]
    rng = np.random.default_rng(0)
    tests = [valid.toarray(), rng.random(train.shape) < 0.5]
    parts = train.toarray(), valid.toarray()
    chosen = {tune(candidates, make_dataset(*parts, test))[0] for test in tests}
    assert len(chosen) == 1
    assert chosen.pop() != Popularity()


def test_no_setting_stands_twice_in_a_grid():
    for a, b in product(GRIDS.values(), GRIDS.values()):
        assert len(set(a)) == len(a)
        assert a is b or not set(a) & set(b)
