"""Compiled functions beside numpy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.runtime import pairs
from model.runtime.item_item import NO_SCORES, DenseScores, SparseScores
from model.runtime.native.kernels import CompressedRows
from model.runtime.top_k import top_places


def bounds(rng: np.random.Generator, num_users: int, size: int, spread: float) -> np.ndarray:
    """Some of them at -inf; rows lie apart."""
    bound_BI = rng.normal(0, spread, (num_users, size + 3)).astype(np.float32)
    bound_BI[rng.random(bound_BI.shape) < 0.1] = -np.inf
    return bound_BI[:, :size]


@given(
    seed=st.integers(0, 10_000),
    sizes=st.tuples(st.integers(1, 4), st.sampled_from([1, 20, 5_000])),
    spread=st.sampled_from([0.0, 5.0]),
)
def test_rows_of_at_least_a_number(compiled, seed, sizes, spread) -> None:
    rng = np.random.default_rng(seed)
    bound_BI = bounds(rng, *sizes, spread)
    left_out = [rng.integers(-1, sizes[1] + 1, rng.integers(0, 9)) for _ in bound_BI]
    least = rng.normal(0, spread, sizes[0])
    expected = [
        np.setdiff1d(np.flatnonzero(bound_I >= np.float32(lowest)), out).tolist()
        for bound_I, out, lowest in zip(bound_BI, left_out, least, strict=True)
    ]
    found = compiled.pick(bound_BI, left_out, [0] * sizes[0], least)
    assert [rows.tolist() for rows in found] == expected
    for bound_I, out in zip(bound_BI, left_out, strict=True):
        assert (bound_I[out[(out >= 0) & (out < sizes[1])]] == -np.inf).all()


@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([1, 20, 5_000, 60_000]),
    counts=st.lists(st.integers(1, 400), min_size=1, max_size=3),
    spread=st.sampled_from([0.0, 0.1, 5.0]),
)
def test_about_so_many_of_the_highest_are_found(compiled, seed, size, counts, spread) -> None:
    bound_BI = bounds(np.random.default_rng(seed), len(counts), size, spread)
    found = compiled.pick(bound_BI, [np.empty(0, dtype=np.intp)] * len(counts), counts)
    for bound_I, count, rows in zip(bound_BI, counts, found, strict=True):
        finite = int(np.isfinite(bound_I).sum())
        assert len(rows) >= min(count // 2, finite)
        assert np.isfinite(bound_I[rows]).all()
        if len(rows):
            assert rows.tolist() == np.flatnonzero(bound_I >= bound_I[rows].min()).tolist()
        if spread:
            assert len(rows) <= 8 * count + 200


@given(
    scores=st.lists(st.lists(st.sampled_from([0.0, 1.0, 1.5, -2.0]), max_size=30), min_size=1),
    data=st.data(),
)
def test_places_of_the_highest_are_those_of_numpy(compiled, scores, data) -> None:
    counts = [data.draw(st.integers(0, len(each))) for each in scores]
    ends = np.cumsum([len(each) for each in scores]).tolist()
    score_P = np.array([x for each in scores for x in each], dtype=np.float32)
    found = compiled.best_places(score_P, ends, counts)
    expected = [
        end - len(each) + top_places(np.array(each), 0, count)
        for each, end, count in zip(scores, ends, counts, strict=True)
    ]
    assert found.tolist() == np.concatenate(expected).tolist()


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(0, 20), min_size=1, max_size=5).filter(any),
    num_channels=st.integers(1, 6),
    width=st.sampled_from([1, 3, 16, 64]),
)
def test_inputs_of_pairs_are_those_of_numpy(compiled, seed, lengths, num_channels, width) -> None:
    rng = np.random.default_rng(seed)
    items_IVMD = rng.standard_normal((30, 1, num_channels, width)).astype(np.float32)
    routing_IJ = rng.standard_normal((30, 4)).astype(np.float32)
    bias_I = rng.standard_normal(30).astype(np.float32)
    unit_GBD = rng.standard_normal((num_channels, len(lengths), width)).astype(np.float32)
    evidence_JB = rng.standard_normal((4, len(lengths))).astype(np.float32)
    rows = [rng.integers(0, 30, length) for length in lengths]
    named = np.array([2, 3, 17])
    kinds = [DenseScores(bias_I[:20]), SparseScores(named, bias_I[named]), NO_SCORES]
    said = [kinds[user % 3] for user in range(len(lengths))]
    given_ = (items_IVMD, routing_IJ, bias_I), (unit_GBD, evidence_JB), rows
    made = compiled.pairs(*given_, [each.laid_out for each in said])
    for found, expected in zip(made, pairs.pair_inputs(*given_, said), strict=True):
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("row", [-1, 30])
def test_a_row_of_no_item_is_an_error_not_a_crash(compiled, row) -> None:
    items_IVMD = np.zeros((30, 1, 1, 4), dtype=np.float32)
    items = items_IVMD, np.zeros((30, 2), np.float32), np.zeros(30, np.float32)
    users = np.zeros((1, 1, 4), dtype=np.float32), np.zeros((2, 1), dtype=np.float32)
    with pytest.raises(IndexError, match="none of 30 items"):
        compiled.pairs(items, users, [np.array([3, row])], [NO_SCORES.laid_out])


@settings(max_examples=60)
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
    model = CompressedRows.of(offsets, items, weights)
    found = compiled.sums(model, rows_H, share_H, deviation, most)
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
