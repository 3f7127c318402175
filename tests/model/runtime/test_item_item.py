import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.artifact.files import ArtifactError
from model.runtime import item_item
from model.runtime.item_item import (
    NO_SCORES,
    DenseScores,
    HistoryScores,
    ItemItemModel,
    SparseScores,
    dense_parts,
    recency_weights,
)


def drawn(
    seed: int, num_items: int, deviation: float | None = None
) -> tuple[ItemItemModel, np.ndarray]:
    """A matrix, and the same dense."""
    rng = np.random.default_rng(seed)
    length_I = rng.integers(0, min(5, num_items), num_items)
    rows = [rng.choice(num_items, length, replace=False) for length in length_I]
    weights = rng.normal(size=length_I.sum()).astype(np.float32)
    items = np.concatenate(rows).astype(np.int32)
    dense_II = np.zeros((num_items, num_items))
    dense_II[np.repeat(np.arange(num_items), length_I), items] = weights
    return matrix_of(np.cumsum([0, *length_I]), items, weights, deviation), dense_II


def matrix_of(offsets, items, weights, deviation: float | None = None) -> ItemItemModel:
    parts = {"offsets": offsets, "items": items, "weights": weights}
    tensors = {f"neighbourhood_{name}": part for name, part in parts.items()}
    return ItemItemModel.of(tensors, deviation)


def parts_of(scores: HistoryScores, rows_R, newest: int) -> np.ndarray:
    parts = scores.parts(rows_R, newest)
    return dense_parts([parts], len(rows_R), min(newest, len(scores.end_H)))[0]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.sampled_from([0, 0.5, 2]),
    st.sampled_from([(16_384, 131_072), (0, 131_072), (0, 0)]),
    st.sampled_from([None, 0.3]),
)
def test_it_is_the_mean_of_the_historys_rows_by_recency_at_one_deviation(
    seed, num_items, power, sizes, deviation
) -> None:
    matrix, dense_II = drawn(seed, num_items, deviation)
    rng = np.random.default_rng(seed)
    history_H = rng.permutation(num_items)[: rng.integers(1, num_items + 1)].astype(np.int32)
    weight_H = recency_weights(np.arange(len(history_H))[::-1], power).astype(np.float64)
    expected_I = weight_H @ dense_II[history_H] / weight_H.sum()
    factor = 1.0
    if deviation is not None and expected_I.any():
        factor = deviation / expected_I.std()
    expected_I *= factor
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_item, "_COUNTED_ITEMS", sizes[0])
        patch.setattr(item_item, "_SUMMED_ITEMS", sizes[1])
        found = matrix.of_history(history_H, power)
    assert found.largest_size == pytest.approx(np.abs(expected_I).max(), abs=1e-6)
    largest = found.largest(3)
    assert expected_I[largest] == pytest.approx(-np.sort(-expected_I)[: len(largest)], abs=1e-6)
    assert found.at(np.arange(num_items)) == pytest.approx(expected_I, abs=1e-6)
    assert found.between(1, num_items) == pytest.approx(expected_I[1:], abs=1e-6)
    rows_R = rng.permutation(num_items)[: rng.integers(1, num_items + 1)]
    part_RH = factor * (weight_H[:, None] * dense_II[history_H][:, rows_R]).T / weight_H.sum()
    for newest in (1, 3, len(history_H)):
        found_RH = parts_of(matrix.history_scores(history_H, power), rows_R, newest)
        assert found_RH == pytest.approx(part_RH[:, -newest:], abs=1e-6)
    assert found_RH.sum(axis=1) == pytest.approx(expected_I[rows_R], abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_dense_and_sparse_scores_have_the_same_deviation(seed: int, num_items: int) -> None:
    value_I = np.random.default_rng(seed).normal(0.5, 1, num_items).astype(np.float32)
    value_I[value_I < 0.3] = 0
    rows_N = np.flatnonzero(value_I)
    dense, sparse = DenseScores(value_I), SparseScores(rows_N, value_I[rows_N])
    expected = float(value_I.astype(np.float64).std())
    for scores in (dense, sparse):
        assert scores.deviation(num_items) == pytest.approx(expected, abs=1e-6)
        twice = scores.times(2)
        assert twice.at(np.arange(num_items)) == pytest.approx(2 * value_I)
        assert twice.deviation(num_items) == pytest.approx(2 * expected, abs=1e-6)


def test_items_far_apart_that_share_a_slot_are_told_apart() -> None:
    size = 3 * item_item._SLOTS
    rows_R = np.array([5, 5 + item_item._SLOTS, 5 + 2 * item_item._SLOTS])
    items, weights = np.append(rows_R[:2], 7 + item_item._SLOTS), np.array([1, 2, 3])
    offsets = np.full(size + 1, 3)
    offsets[0] = 0
    scores = matrix_of(offsets, items, weights.astype(np.float32)).history_scores(np.array([0]), 0)
    assert parts_of(scores, rows_R, 1).tolist() == [[1], [2], [0]]
    assert parts_of(scores, np.array([7, 5]), 1).tolist() == [[0], [1]]


@pytest.mark.parametrize("num_items", [1000, 40_000])
def test_parts_of_a_list_may_be_as_many_as_there_are(num_items) -> None:
    rows_I = np.arange(num_items, dtype=np.int32)
    matrix = matrix_of(np.arange(num_items + 1), rows_I, (rows_I + 1).astype(np.float32))
    part_RH = parts_of(matrix.history_scores(rows_I[-50:], 0), rows_I, newest=50)
    expected = [[num_items - 50 + place, place] for place in range(50)]
    assert np.argwhere(part_RH).tolist() == expected


def test_parts_of_several_histories_stand_side_by_side() -> None:
    matrix, _ = drawn(0, 20, 0.3)
    scores = [matrix.history_scores(np.array(rows), 0.5) for rows in ([3, 7, 9], [11], [4, 5])]
    rows_QR = np.array([[1, 2], [2, 3], [19, 0]])
    together = dense_parts([x.parts(r, 2) for x, r in zip(scores, rows_QR, strict=True)], 2, 2)
    for each, rows_R, found_RH in zip(scores, rows_QR, together, strict=True):
        alone_RH = parts_of(each, rows_R, 2)
        np.testing.assert_allclose(found_RH[:, : alone_RH.shape[1]], alone_RH, atol=1e-7)
        assert not found_RH[:, alone_RH.shape[1] :].any()


def test_a_deviation_of_zero_silences_the_model() -> None:
    offsets, items = np.array([0, 1, 2]), np.array([1, 0])
    matrix = matrix_of(offsets, items, np.ones(2, dtype=np.float32), 0.0)
    history_H = np.array([0])
    assert matrix.of_history(history_H, 0).largest_size == 0
    assert parts_of(matrix.history_scores(history_H, 0), np.array([1]), 1).tolist() == [[0]]


def test_scores_that_are_all_alike_say_nothing() -> None:
    items, weights = np.tile([0, 1], 2), np.full(4, 0.25, dtype=np.float32)
    matrix = matrix_of(np.array([0, 2, 4]), items, weights, 0.3)
    assert matrix.of_history(np.array([0, 1]), 0).at(np.arange(2)).tolist() == [0, 0]


@given(st.integers(0, 2**32 - 1))
def test_of_two_it_is_half_of_each(seed: int) -> None:
    matrix, _ = drawn(seed, 20)
    one, other = matrix.of_history(np.array([3, 7]), 0), matrix.of_history(np.array([7]), 0)
    rows = np.arange(20)
    expected = (one.at(rows) + other.at(rows)) / 2
    assert one.mean_with(other).at(rows) == pytest.approx(expected, abs=1e-6)
    assert one.mean_with(NO_SCORES).at(rows) == pytest.approx(one.at(rows) / 2)


def test_the_matrix_stays_where_it_is_mapped(artifact, tmp_path) -> None:
    mapped = {}
    for name in ("offsets", "items", "weights"):
        np.save(tmp_path / f"{name}.npy", artifact.tensors[f"neighbourhood_{name}"])
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    matrix = matrix_of(**mapped)
    for name, array in mapped.items():
        assert np.shares_memory(getattr(matrix, name), array)


def test_its_tensors_make_it_again() -> None:
    whole = matrix_of(np.array([0, 1, 2]), np.array([1, 0]), np.array([0.5, 2]))
    tensors = whole.tensors()
    assert [array.dtype.str for array in tensors.values()] == ["<i8", "<i4", "<f4"]
    again = ItemItemModel.of(tensors, None).of_history(np.array([0]), 0)
    assert again.at(np.arange(2)).tolist() == [0, 0.5]


def test_items_may_be_asked_for_in_any_order() -> None:
    found = SparseScores(np.array([2, 5]), np.array([0.5, -1], dtype=np.float32))
    assert found.at(np.array([9, 5, 0, 2, 5])).tolist() == [0, -1, 0, 0.5, -1]


def test_the_largest_are_above_zero() -> None:
    values = np.array([0.5, -1, 0.7, 0.1], dtype=np.float32)
    found = SparseScores(np.array([2, 5, 6, 9]), values)
    assert found.largest(2).tolist() == [6, 2]
    assert found.largest(9).tolist() == [6, 2, 9]


@pytest.mark.parametrize("entries", [0, 3])
def test_who_has_no_history_has_no_scores(entries: int) -> None:
    items, weights = np.arange(entries, dtype=np.int32), np.ones(entries, dtype=np.float32)
    matrix = matrix_of(np.array([0, 0, entries, entries]), items, weights)
    nobody = np.empty(0, dtype=np.int32)
    for found in (matrix.of_history(nobody, 0.5), matrix.of_history(np.array([0, 2]), 0.5)):
        assert found.largest_size == 0
        assert found.at(np.arange(3)).tolist() == [0, 0, 0]
    assert parts_of(matrix.history_scores(np.array([0, 2]), 0.5), np.array([1]), 2).tolist() == [
        [0, 0]
    ]
    assert matrix.of_history(np.array([1]), 0.5).at(np.arange(entries)).tolist() == [1] * entries


@pytest.mark.parametrize(
    ("offsets", "items", "weight", "words"),
    [
        ([0, 2, 3], [0, 1], 1.0, "do not fit together"),
        ([0, 2, 1, 2], [0, 1], 1.0, "do not fit together"),
        ([0, 1, 2], [0, 2], 1.0, "names items that are not"),
        ([0, 1, 2], [0, -1], 1.0, "names items that are not"),
        ([0, 1, 2], [0, 1], np.nan, "not finite"),
        ([0, 1, 2], [0, 1], -np.inf, "not finite"),
    ],
)
def test_what_is_no_matrix_of_these_items_is_refused(offsets, items, weight, words) -> None:
    weights = np.array([1, weight], dtype=np.float32)
    with pytest.raises(ArtifactError, match=words):
        matrix_of(np.array(offsets), np.array(items, dtype=np.int32), weights)
