"""NDCG@20 on pools against the protocol's, which ranks every item."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from training.data.dataset import Dataset
from training.evaluate.protocol import evaluate
from training.fit import candidates
from training.fit.candidates import Candidates, Terms, gather

WEIGHTS = [
    {"one": 1.0, "two": 0.0, "bias": 0.0},
    {"one": 1.0, "two": 0.5, "bias": 0.2},
    {"one": -0.3, "two": 1.0},
    {"bias": 1.0},
]


def terms_of(dataset: Dataset) -> Terms:
    """Two terms for every user and item, and one that is the same for all users."""
    rng = np.random.default_rng(0)
    shape = dataset.train.shape
    one, two = rng.normal(size=(2, *shape)).astype(np.float32)
    return {"one": one, "two": two, "bias": rng.normal(size=shape[1]).astype(np.float32)}


def gathered(dataset: Dataset, target: csr_array, terms: Terms) -> Candidates:
    def some(user_B: NDArray[np.int64]) -> Terms:
        return {name: x[user_B] if x.ndim == 2 else x for name, x in terms.items()}

    return gather(dataset, target, some)


def by_protocol(
    dataset: Dataset, target: csr_array, terms: Terms, weights: dict[str, float]
) -> float:
    score_UI = sum(w * np.broadcast_to(terms[n], dataset.train.shape) for n, w in weights.items())
    return evaluate(lambda user_B: score_UI[user_B], dataset, target).metrics["ndcg@20"]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_where_the_pool_holds_all_items_it_is_the_protocols(
    communities: Dataset, weights: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "_BLOCK_USERS", 7)
    terms = terms_of(communities)
    found = gathered(communities, communities.valid, terms)
    assert len(found.users) == (np.diff(communities.valid.indptr) > 0).sum()
    expected = by_protocol(communities, communities.valid, terms, weights)
    assert found.ndcg20(weights) == pytest.approx(expected, abs=1e-6)


def test_a_list_that_is_not_full_counts_no_item_twice(make_dataset) -> None:
    rng = np.random.default_rng(1)
    part_UI = rng.choice(3, size=(30, 24), p=[0.5, 0.3, 0.2])
    dataset = make_dataset(part_UI == 0, part_UI == 1)
    terms = terms_of(dataset)
    found = gathered(dataset, dataset.valid, terms)
    for weights in WEIGHTS:
        expected = by_protocol(dataset, dataset.valid, terms, weights)
        assert found.ndcg20(weights) == pytest.approx(expected, abs=1e-6)


def test_the_best_items_of_each_term_are_in_the_pool(make_dataset) -> None:
    rng = np.random.default_rng(2)
    part_UI = rng.choice(3, size=(20, 700), p=[0.9, 0.05, 0.05])
    dataset = make_dataset(part_UI == 2, part_UI == 1)
    terms = terms_of(dataset)
    found = gathered(dataset, dataset.valid, terms)
    assert found.item_UP.shape[1] == 300
    for name in terms:
        expected = by_protocol(dataset, dataset.valid, terms, {name: 2.0})
        assert found.ndcg20({name: 2.0}) == pytest.approx(expected, abs=1e-6)
    seen_UI = torch.from_numpy(dataset.train.toarray() > 0)
    open_UP = torch.isfinite(found.closed_UP)
    assert not seen_UI[torch.from_numpy(found.users)[:, None], found.item_UP][open_UP].any()


def test_a_large_catalogue_is_gathered_in_small_blocks(
    communities: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    monkeypatch.setattr(candidates, "_BLOCK_VALUES", 5 * 60)

    def counted(user_B: NDArray[np.int64]) -> Terms:
        sizes.append(len(user_B))
        return {"one": np.zeros((len(user_B), 60), dtype=np.float32)}

    gather(communities, communities.valid, counted)
    assert max(sizes) == 5


def test_a_process_without_users_has_no_candidates(communities: Dataset) -> None:
    nobody = csr_array(communities.valid.shape, dtype=np.float32)
    found = gathered(replace(communities, valid=nobody), nobody, terms_of(communities))
    assert len(found.users) == 0
    assert np.isnan(found.ndcg20(WEIGHTS[0]))
