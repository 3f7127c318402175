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


def test_along_a_line_every_place_is_what_its_weights_are(
    communities: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "_BLOCK_LEADS", 500)
    terms = terms_of(communities)
    found = gathered(communities, communities.valid, terms)
    start, end = {"one": 1.0, "two": 0.2, "bias": 0.1}, {"one": 0.8, "two": 0.9, "bias": 0.1}
    place_X = [-0.5, 0.0, 0.3, 1.0, 2.0]
    weights = [{n: start[n] + x * (end[n] - start[n]) for n in start} for x in place_X]
    expected = [by_protocol(communities, communities.valid, terms, each) for each in weights]
    assert len(set(expected)) == len(expected)
    assert found.ndcg20_along(start, end, place_X) == pytest.approx(expected, abs=1e-6)


def test_the_best_items_of_each_term_are_in_the_pool(make_dataset) -> None:
    rng = np.random.default_rng(2)
    part_UI = rng.choice(3, size=(20, 700), p=[0.9, 0.05, 0.05])
    dataset = make_dataset(part_UI == 2, part_UI == 1)
    terms = terms_of(dataset)
    found = gathered(dataset, dataset.valid, terms)
    assert 200 < found.item_UP.shape[1] < 300, "three terms bring 100 each, some of them twice"
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


def test_of_equal_scores_a_held_out_positive_is_the_last(communities: Dataset) -> None:
    found = gathered(communities, communities.valid, terms_of(communities))
    assert found.ndcg20({"one": 0.0}) == 0


def test_whoever_has_no_positive_in_the_pool_counts_as_zero(make_dataset) -> None:
    train_UI, valid_UI = np.zeros((2, 2, 400), dtype=np.bool_)
    train_UI[:, 0] = valid_UI[0, 1] = valid_UI[1, 399] = True
    dataset = make_dataset(train_UI, valid_UI)
    falling_UI = np.tile(np.linspace(1, 0, 400, dtype=np.float32), (2, 1))
    found = gathered(dataset, dataset.valid, {"one": falling_UI})
    assert list(found.users) == [0]
    assert found.ndcg20({"one": 1.0}) == pytest.approx(0.5)


def test_a_process_without_users_has_no_candidates(communities: Dataset) -> None:
    nobody = csr_array(communities.valid.shape, dtype=np.float32)
    found = gathered(replace(communities, valid=nobody), nobody, terms_of(communities))
    assert len(found.users) == 0
    assert np.isnan(found.ndcg20(WEIGHTS[0]))
