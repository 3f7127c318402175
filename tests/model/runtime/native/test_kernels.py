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
