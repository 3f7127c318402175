"""What training sets up takes memory in proportion to items and interactions, nothing else."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from training.data.features import ModalityFeatures, Standardisation
from training.data.histories import Histories
from training.fit import item_item, neighbours
from training.fit.graphs import (
    Walks,
    build_graph,
    cold_strength,
    content_neighbours,
    spectral_start,
)
from training.fit.item_item import item_item_weights

ITEMS = 2_000
PER_ITEM = 5
WIDTH = 8


def histories_of(num_items: int) -> Histories:
    """As many users as items; some items are much more popular than others."""
    rng = np.random.default_rng(0)
    user_N = np.repeat(np.arange(num_items), PER_ITEM)
    item_N = (num_items * rng.random(len(user_N)) ** 2).astype(np.int64)
    pair_N = np.unique(user_N * num_items + item_N)
    user_N, item_N = np.divmod(pair_N, num_items)
    return Histories.of(user_N, item_N, rng.random(len(pair_N)), (num_items, num_items))


def features_of(num_items: int) -> ModalityFeatures:
    x_IF = np.random.default_rng(1).normal(size=(num_items, WIDTH)).astype(np.float32)
    return ModalityFeatures(x_IF=x_IF, present_I=np.ones(num_items, dtype=np.bool_))


STEPS: dict[str, Callable[[Histories, ModalityFeatures], object]] = {
    "start": lambda histories, _: spectral_start(histories.recency_weighted(0.5), 16),
    "item-item weights": lambda histories, _: item_item_weights(histories),
    "features": lambda _, features: Standardisation.of(features)(features),
    "content neighbours": lambda _, features: content_neighbours(features),
    "graph": lambda histories, features: build_graph(histories.recency_weighted(0.5), [features]),
    "sampled layer": lambda histories, _: Walks.over(histories.recency_weighted(0.5)).layer(
        np.random.default_rng(0)
    ),
    "cold strength": lambda histories, _: cold_strength(histories.recency_weighted(0.5)),
}


def allocated(step: str, num_items: int) -> int:
    """Most bytes that a step holds at once."""
    histories, features = histories_of(num_items), features_of(num_items)
    tracemalloc.start()
    try:
        STEPS[step](histories, features)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("step", STEPS)
def test_twice_the_items_take_twice_the_memory(step: str, monkeypatch) -> None:
    """A matrix of items by items, or of users by items, would take four times as much."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(neighbours, "EXACT_ITEMS", ITEMS // 2)
    for constant in ("_BLOCK", "_BLOCK_ENTRIES"):
        monkeypatch.setattr(item_item, constant, 64)
    allocated(step, ITEMS // 2)  # what a first call imports
    small, large = allocated(step, ITEMS), allocated(step, 2 * ITEMS)
    assert large < 2.4 * small
    assert large < (2 * ITEMS) ** 2


def test_an_item_that_goes_with_all_others_makes_no_dense_matrix(monkeypatch) -> None:
    """Each user has chosen the first item, and some twenty of the others at random."""
    num_items, num_users = 400, 1_000
    rng = np.random.default_rng(0)
    likes_UI = rng.random((num_users, num_items)) < 20 / num_items
    likes_UI[:, 0] = True
    histories = Histories.of(*likes_UI.nonzero(), None, likes_UI.shape)
    monkeypatch.setattr(item_item, "MOST_NEIGHBOURS", 50)
    whole = item_item_weights(histories)
    monkeypatch.setattr(item_item, "MOST_ENTRIES", 0)
    monkeypatch.setattr(item_item, "FEWEST_ENTRIES", 200)
    bounded = item_item._gram(item_item._damped_rows(histories))
    assert bounded.nnz <= 2 * 200 * num_items
    assert np.abs(bounded - bounded.T).max() == 0
    shortened = item_item_weights(histories)
    assert abs(shortened - whole).sum() < 0.1 * abs(whole).sum()


def test_a_matrix_that_fits_is_not_shortened(monkeypatch) -> None:
    histories = histories_of(ITEMS)
    whole = item_item_weights(histories)
    monkeypatch.setattr(item_item, "_BLOCK_ENTRIES", 1_000)
    assert (item_item_weights(histories) != whole).nnz == 0
