"""Compiled bounds: never below a score, and no higher than those of onnxruntime by much."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.runtime.item_item import NO_SCORES, DenseScores, SparseScores
from model.runtime.native.kernels import MOST_USERS, TILE_ITEMS
from model.runtime.native_bounds import NativeBounds, rounded_bounds
from model.runtime.quantised import QuantisedBounds

REACH = 5.0


@pytest.fixture(autouse=True)
def _can_bound(compiled) -> None:
    if not compiled.can_bound():
        pytest.skip("this processor has no AVX2")


def rows(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Rows of many lengths, some of them zero, some with one large number."""
    found = rng.standard_normal(shape)
    found[rng.random(shape[:-1]) < 0.1] = 0
    found[rng.random(shape[:-1]) < 0.1, 0] = 40
    found *= rng.choice([0.01, 1, 3], (*shape[:-1], 1))
    return found.astype(np.float32)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    num_items=st.sampled_from([1, 15, 16, 60, 64, 65, 130]),
    num_users=st.sampled_from([1, 3, 4, 6, MOST_USERS + 1]),
    num_views=st.integers(1, 3),
    num_modalities=st.integers(1, 4),
    width=st.sampled_from([1, 8, 30, 64]),
)
def test_no_score_is_above_it_and_blocks_do_not_mix(
    compiled, seed, num_items, num_users, num_views, num_modalities, width
) -> None:
    rng = np.random.default_rng(seed)
    items = rows(rng, num_items, num_views, num_modalities, width)
    users = rows(rng, num_users, num_views, num_modalities, width)
    bias_I = rng.normal(0, 2, num_items).astype(np.float32)
    templates_KM = rng.dirichlet(np.ones(num_modalities), 5).astype(np.float32)
    named = np.sort(rng.choice(num_items, num_items // 3, replace=False))
    said = rng.normal(0, 2, num_items).astype(np.float32)
    kinds = [SparseScores(named, said[named]), DenseScores(said), NO_SCORES]
    item_item = [kinds[user % 3] for user in range(num_users)]
    bound_BI, less_B = NativeBounds(compiled, items, bias_I, templates_KM, REACH).of(
        users, item_item
    )
    assert bound_BI.shape == (num_users, num_items)
    other_BI, more_B = QuantisedBounds(items, bias_I, templates_KM, REACH).of(users, item_item)
    length = np.linalg.norm(users, axis=-1, keepdims=True)
    unit = users / np.where(length > 0, length, 1)
    similarity = np.einsum("bvmd,ivmd->bivm", unit, items, dtype=np.float64)
    similarity[..., 0, 0] += [each.between(0, num_items) for each in item_item]
    for view_V in (*np.eye(num_views), np.full(num_views, 1 / num_views)):
        fused = np.einsum("bivm,v->bim", similarity, view_V)
        scores_BI = REACH * (fused @ templates_KM.T).max(axis=-1) + bias_I
        assert (bound_BI + less_B[:, None] >= scores_BI).all()
    # Both round the same rows to the same steps, so that neither is far above the other.
    largest = REACH * (np.abs(items).max() * width * 2 / 63 + 0.02)
    assert np.abs(bound_BI + less_B[:, None] - other_BI - more_B[:, None]).max() <= largest


def test_they_are_used_where_the_processor_can() -> None:
    items = np.ones((2, 1, 1, 4), dtype=np.float32)
    arrays = np.zeros(2, dtype=np.float32), np.ones((1, 1), dtype=np.float32), REACH
    assert isinstance(rounded_bounds(items, *arrays), NativeBounds)
    wide = np.ones((2, 1, 1, 2048), dtype=np.float32)
    assert isinstance(rounded_bounds(wide, *arrays), QuantisedBounds)


def test_a_copy_takes_little_more_than_a_byte_for_each_number(compiled) -> None:
    items = np.ones((TILE_ITEMS * 3, 2, 3, 64), dtype=np.float32)
    bias_I = np.zeros(len(items), dtype=np.float32)
    bounds = NativeBounds(compiled, items, bias_I, np.full((1, 3), 1 / 3, np.float32), REACH)
    assert bounds._arrays[0].nbytes == items.size
