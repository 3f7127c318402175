"""Neighbours that an index finds are those of exact search, nearly all of them."""

import sys

import numpy as np
import pytest

from training.fit import neighbours
from training.fit.neighbours import RECALL, nearest

ITEMS, K = 3_000, 10


@pytest.fixture
def unit_IF():
    """Items around 60 centres; a tenth has no features."""
    rng = np.random.default_rng(0)
    x_IF = rng.normal(size=(60, 16))[rng.integers(60, size=ITEMS)]
    x_IF = (x_IF + rng.normal(scale=0.7, size=x_IF.shape)).astype(np.float32)
    x_IF /= np.linalg.norm(x_IF, axis=1, keepdims=True)
    x_IF[rng.random(ITEMS) < 0.1] = 0
    return x_IF


@pytest.fixture
def large(monkeypatch):
    """This many items are a large catalogue."""
    monkeypatch.setattr(neighbours, "EXACT_ITEMS", ITEMS - 1)


def test_an_index_finds_nearly_all_of_the_nearest(unit_IF, large, monkeypatch) -> None:
    found_IK, cosine_IK = nearest(unit_IF, K)
    monkeypatch.setattr(neighbours, "EXACT_ITEMS", ITEMS)
    exact_IK, exact_cosine_IK = nearest(unit_IF, K)
    filled_I = unit_IF.any(axis=1)
    same = (found_IK[:, :, None] == exact_IK[:, None, :]).any(axis=2)[filled_I].mean()
    assert RECALL - 0.01 <= same < 1  # a little is lost, or no index was searched
    cosines_IK = np.einsum("if,ikf->ik", unit_IF, unit_IF[found_IK])
    assert np.allclose(cosines_IK[filled_I], cosine_IK[filled_I], atol=1e-5)
    assert not np.isfinite(cosine_IK[~filled_I]).any()
    assert cosine_IK.max(axis=1)[filled_I] == pytest.approx(
        exact_cosine_IK.max(axis=1)[filled_I], abs=0.2
    )


def test_no_item_is_its_own_neighbour_even_among_equal_ones(large) -> None:
    equal_IF = np.zeros((ITEMS, 4), dtype=np.float32)
    equal_IF[:, 0] = 1
    found_IK, cosine_IK = nearest(equal_IF, K)
    assert not (found_IK == np.arange(ITEMS)[:, None])[np.isfinite(cosine_IK)].any()


def test_it_finds_the_same_each_time(unit_IF, large) -> None:
    first, again = (nearest(unit_IF, K) for _ in range(2))
    assert np.array_equal(first[0], again[0])


def test_it_says_how_much_it_found(unit_IF, large, caplog) -> None:
    with caplog.at_level("INFO"):
        nearest(unit_IF, K)
    assert f"neighbours of {unit_IF.any(axis=1).sum():,} items" in caplog.text
    assert "of the nearest" in caplog.text


def test_without_the_index_it_searches_exactly_and_says_so(
    unit_IF, large, monkeypatch, caplog
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(neighbours.importlib.util, "find_spec", lambda _: None)
    _, cosine_IK = nearest(unit_IF, K)
    assert "magnet-recommender[large]" in caplog.text
    assert np.isfinite(cosine_IK).all()
