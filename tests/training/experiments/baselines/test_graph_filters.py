"""GF-CF, BSPM, ChebyCF and LinkProp against dense formulas, eigenvalues and enumerated paths."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import BarycentricInterpolator
from scipy.sparse import csr_array

from training.evaluate.closed_forms import BaselineError
from training.experiments.baselines.graph_filters import BSPM, GFCF, ChebyCF, ItemGraph, LinkProp

USERS, ITEMS = 150, 12
MODELS = [
    GFCF(alpha=0.3, vectors=4),
    BSPM(solver="euler", time=1.2, low_pass=0.3, vectors=4),
    ChebyCF(phi=1.5, alpha=0.2, beta=0.4, vectors=4),
    LinkProp(beta=0.5, gamma=0.7, delta=0.3),
]


@pytest.fixture
def dense() -> NDArray[np.float64]:
    """Positives of more users than are scored at once; nobody has item 5, user 7 has nothing."""
    rng = np.random.default_rng(0)
    likes = (rng.random((USERS, ITEMS)) < np.linspace(0.6, 0.05, ITEMS)).astype(float)
    likes[:, 5] = likes[7] = 0
    return likes


def degrees(dense: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.maximum(dense.sum(axis), 1)


def propagation(dense: NDArray[np.float64]) -> NDArray[np.float64]:
    """P by its definition."""
    both = np.sqrt(degrees(dense, 1)[:, None] * degrees(dense, 0))
    return (dense / both).T @ (dense / both)


def smoothest(dense: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """The projection onto P's eigenvectors of the largest eigenvalues."""
    vectors = np.linalg.eigh(propagation(dense))[1][:, -most:]
    return vectors @ vectors.T


def low_pass(dense: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """The ideal low pass of GF-CF."""
    root = np.sqrt(degrees(dense, 0))
    return dense / root @ smoothest(dense, most) * root


def test_gfcf_is_a_linear_filter_and_an_ideal_low_pass(dense, make_dataset):
    score = GFCF(alpha=0.3, vectors=4).fit(make_dataset(dense))(np.arange(USERS))
    expected = dense @ propagation(dense) + 0.3 * low_pass(dense, 4)
    np.testing.assert_allclose(score, expected, atol=1e-5)


def euler(state: NDArray[np.float64], step: float, p: NDArray[np.float64]) -> NDArray[np.float64]:
    return state - step * state @ p


def runge_kutta(
    state: NDArray[np.float64], step: float, p: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The classical four stages."""
    k1 = -state @ p
    k2 = -(state + step / 2 * k1) @ p
    k3 = -(state + step / 2 * k2) @ p
    k4 = -(state + step * k3) @ p
    return state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


@pytest.mark.parametrize(("solver", "step"), [("euler", euler), ("rk4", runge_kutta)])
def test_bspm_sharpens_what_it_blurred(solver, step, dense, make_dataset):
    data, p = make_dataset(dense), propagation(dense)
    blurred, smooth = dense @ p, 0.3 * low_pass(dense, 4)
    first = step(blurred + smooth, 0.8, p)
    second = step(first, 0.8, p)
    late = step(step(blurred, 0.8, p), 0.8, p) + smooth
    for expected, settings in [
        (second, {}),
        ((blurred + first + second) / 3, {"mean": True}),
        (late, {"merge": "late"}),
    ]:
        model = BSPM(solver=solver, time=1.6, steps=2, low_pass=0.3, vectors=4, **settings)
        np.testing.assert_allclose(model.fit(data)(np.arange(USERS)), expected, atol=1e-5)


def test_chebycf_interpolates_its_plateau(dense, make_dataset):
    """The polynomial through the plateau's values at the nodes, taken at L's eigenvalues."""
    model = ChebyCF(phi=1.5, alpha=0.2, beta=0.4, vectors=4, order=6)
    score = model.fit(make_dataset(dense))(np.arange(USERS))
    nodes = np.cos((np.arange(7) + 0.5) / 7 * np.pi)
    wanted = np.where(nodes < 0, 0.5 + 0.5 * np.abs(nodes) ** 1.5, 0.5 - 0.5 * np.abs(nodes) ** 1.5)
    eigenvalues, vectors = np.linalg.eigh(np.eye(ITEMS) - 2 * propagation(dense))
    response = BarycentricInterpolator(nodes, wanted)(eigenvalues)
    combined = vectors * response @ vectors.T + 0.2 * smoothest(dense, 4)
    power = degrees(dense, 0) ** 0.4
    expected = dense / power @ combined * power
    np.testing.assert_allclose(score, expected, atol=1e-5)


def test_linkprop_sums_over_paths(dense, make_dataset):
    score = LinkProp(beta=0.5, gamma=0.7, delta=0.3).fit(make_dataset(dense))(np.arange(USERS))
    user, item = degrees(dense, 1), degrees(dense, 0)
    expected = np.einsum(
        "ui,vi,vj,i,v,j->uj", *[dense] * 3, item**-0.5, user**-0.7, item**-0.3, optimize=True
    )
    np.testing.assert_allclose(score, expected, rtol=1e-4)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_without_history_there_is_no_score(model, dense, make_dataset):
    score = model.fit(make_dataset(dense))(np.arange(USERS))
    assert not score[:, 5].any()
    assert not score[7].any()
    assert score.dtype == np.float32


def test_vectors_of_zeros_are_left_out():
    """Two groups of identical users have two directions, however many are asked for."""
    train = csr_array(np.kron(np.eye(2, 40), np.ones((30, 1))), dtype=np.float32)
    for most in (5, 50):
        vector_ID = ItemGraph.of(train).singular_vectors(most)
        np.testing.assert_allclose(vector_ID @ vector_ID.T, np.diag(np.arange(40) < 2), atol=1e-6)


def test_too_large_a_catalogue_is_refused():
    nothing = csr_array((3_000_000, 3_000_000), dtype=np.float32)
    with pytest.raises(BaselineError, match=r"256 singular vectors .* need 17 GiB .limit: 16 GiB"):
        ItemGraph(nothing, nothing, nothing).singular_vectors(256)
