"""Bounds from rounded numbers: never below a score, and hardly above those of the numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.runtime.item_item import NO_SCORES, DenseScores, SparseScores
from model.runtime.quantised import BLOCK_ITEMS, BLOCK_USERS, QuantisedBounds

REACH = 5.0


def rows(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Rows of many lengths, some of them zero, some with one large number."""
    found = rng.standard_normal(shape)
    found[rng.random(shape[:-1]) < 0.1] = 0
    found[rng.random(shape[:-1]) < 0.1, 0] = 40
    found *= rng.choice([0.01, 1, 3], (*shape[:-1], 1))
    return found.astype(np.float32)


def highest_scores(items, users, bias_I, templates_KM, added_BI, rng) -> np.ndarray:
    """The best of many ways to route and gate every pair [B, I]."""
    length = np.linalg.norm(users, axis=-1, keepdims=True)
    unit = users / np.where(length > 0, length, 1)
    similarity = np.einsum("bvmd,ivmd->bivm", unit, items, dtype=np.float64)
    similarity[..., 0, 0] += added_BI
    best = np.full(added_BI.shape, -np.inf)
    for _ in range(8):
        view_V = rng.dirichlet(np.full(items.shape[1], 0.3))
        fused = np.einsum("bivm,v->bim", similarity, view_V)
        best = np.maximum(best, REACH * (fused @ templates_KM.T.astype(np.float64)).max(axis=-1))
    return best + bias_I


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    num_views=st.integers(1, 3),
    num_modalities=st.integers(1, 4),
    width=st.sampled_from([1, 8, 64]),
)
def test_no_score_is_above_it(seed: int, num_views: int, num_modalities: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    items = rows(rng, 60, num_views, num_modalities, width)
    users = rows(rng, BLOCK_USERS + 3, num_views, num_modalities, width)
    bias_I = rng.normal(0, 2, len(items)).astype(np.float32)
    templates_KM = rng.dirichlet(np.ones(num_modalities), 5).astype(np.float32)
    named = np.sort(rng.choice(len(items), 20, replace=False))
    said = rng.normal(0, 2, (2, len(items))).astype(np.float32)
    sparse = SparseScores(named, said[0][named])
    added = np.zeros((len(users), len(items)))
    added[0, named], added[1] = said[0][named], said[1]
    scores = [sparse, DenseScores(said[1]), *[NO_SCORES] * (len(users) - 2)]
    bound_BI, less_B = QuantisedBounds(items, bias_I, templates_KM, REACH).of(users, scores)
    highest = highest_scores(items, users, bias_I, templates_KM, added, rng)
    assert (bound_BI + less_B[:, None] >= highest).all()


def test_rounding_costs_little_and_blocks_fit_together() -> None:
    rng = np.random.default_rng(1)
    num_items = BLOCK_ITEMS + 100
    items = rng.standard_normal((num_items, 2, 1, 64)).astype(np.float32)
    items /= np.linalg.norm(items, axis=-1, keepdims=True)
    users = rng.standard_normal((2, 2, 1, 64)).astype(np.float32)
    bias_I = np.zeros(num_items, dtype=np.float32)
    bounds = QuantisedBounds(items, bias_I, np.ones((1, 1), dtype=np.float32), REACH)
    bound_BI, less_B = bounds.of(users, [NO_SCORES, NO_SCORES])
    bound_BI += less_B[:, None]
    unit = users / np.linalg.norm(users, axis=-1, keepdims=True)
    exact_BI = REACH * np.einsum("bvmd,ivmd->bivm", unit, items).max(axis=(2, 3))
    assert (bound_BI - exact_BI).min() > 0
    assert (bound_BI - exact_BI).max() == pytest.approx(0, abs=REACH * 0.08)
