"""Compiled functions beside numpy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.runtime import pairs

NUMBERS = st.lists(
    st.one_of(st.floats(-9, 9, width=32), st.just(-np.inf), st.just(0.0)), min_size=1, max_size=200
)


@given(NUMBERS, st.floats(-10, 10, width=32))
def test_rows_of_at_least_a_number(compiled, numbers, least) -> None:
    number_I = np.array(numbers * 20, dtype=np.float32)  # more than are expected
    found = compiled.at_least(number_I, least)
    assert found.tolist() == np.flatnonzero(number_I >= least).tolist()


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([1, 20, 5_000, 60_000]),
    count=st.integers(1, 400),
    spread=st.sampled_from([0.0, 0.1, 5.0]),
)
def test_about_so_many_are_at_least_the_guess(compiled, seed, size, count, spread) -> None:
    rng = np.random.default_rng(seed)
    number_I = rng.normal(0, spread, size).astype(np.float32)
    number_I[rng.random(size) < 0.1] = -np.inf
    finite = int(np.isfinite(number_I).sum())
    about = compiled.about_highest(number_I, count)
    found = int((number_I >= about).sum())
    assert found >= min(count, finite) // 8
    if spread:
        assert found <= 8 * count + 200


def test_what_is_not_finite_is_no_guess(compiled) -> None:
    assert compiled.about_highest(np.full(100, -np.inf, dtype=np.float32), 5) == -np.inf


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(0, 20), min_size=1, max_size=5).filter(any),
    num_channels=st.integers(1, 6),
    width=st.sampled_from([1, 3, 16, 64]),
)
def test_cosines_are_those_of_numpy(compiled, seed, lengths, num_channels, width) -> None:
    rng = np.random.default_rng(seed)
    items_IVMD = rng.standard_normal((30, 1, num_channels, width)).astype(np.float32)
    routing_IJ = rng.standard_normal((30, 4)).astype(np.float32)
    unit_GBD = rng.standard_normal((num_channels, len(lengths), width)).astype(np.float32)
    evidence_JB = rng.standard_normal((4, len(lengths))).astype(np.float32)
    rows = [rng.integers(0, 30, length) for length in lengths]
    given_ = items_IVMD, routing_IJ, (unit_GBD, evidence_JB), rows
    for found, expected in zip(compiled.cosines(*given_), pairs.cosines(*given_), strict=True):
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("row", [-1, 30])
def test_a_row_of_no_item_is_an_error_not_a_crash(compiled, row) -> None:
    items_IVMD = np.zeros((30, 1, 1, 4), dtype=np.float32)
    users = np.zeros((1, 1, 4), dtype=np.float32), np.zeros((2, 1), dtype=np.float32)
    with pytest.raises(IndexError, match="none of 30 items"):
        compiled.cosines(items_IVMD, np.zeros((30, 2), np.float32), users, [np.array([3, row])])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_items=st.sampled_from([1, 63, 64, 200]),
    deviation=st.sampled_from([None, 0.3]),
    most=st.sampled_from([0, 1_000]),
)
def test_sums_of_a_history_are_those_of_numpy(compiled, seed, num_items, deviation, most) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 4, num_items)
    offsets = np.concatenate([[0], lengths.cumsum()])
    items = rng.integers(0, num_items, lengths.sum()).astype(np.int32)
    weights = rng.normal(0, 1, lengths.sum()).astype(np.float32)
    rows_H = rng.integers(0, num_items + 2, int(rng.integers(1, 12)))  # some came later
    share_H = rng.dirichlet(np.ones(len(rows_H))).astype(np.float32)
    found = compiled.sums((offsets, items, weights), rows_H, share_H, deviation, most)
    said = [slice(*offsets[row : row + 2]) if row < num_items else slice(0) for row in rows_H]
    items_E = np.concatenate([items[part] for part in said])
    values_E = np.concatenate(
        [weights[part] * own for part, own in zip(said, share_H, strict=True)]
    )
    assert found.items_E.tolist() == items_E.tolist()
    assert found.values_E.tolist() == values_E.tolist()
    assert found.end_H.tolist() == np.cumsum([len(items[part]) for part in said]).tolist()
    sum_I = np.bincount(items_E, values_E, minlength=num_items)
    spread = sum_I.std()
    factor = 1.0 if deviation is None else deviation / spread if spread > 1e-9 else None
    rows_N, values_N = found.sums
    if factor is not None:
        assert found.factor == pytest.approx(factor, rel=1e-4)
        sum_I = sum_I * factor
        expected = sum_I if rows_N is None else sum_I[rows_N]
        assert values_N == pytest.approx(expected, rel=1e-4, abs=1e-5)
    if num_items > max(most, len(items_E)):
        assert rows_N.tolist() == np.unique(items_E).tolist()
    else:
        assert rows_N is None
