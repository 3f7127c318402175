import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from model.network.encoder import fold_in
from training.data.histories import Histories, fold_in_histories
from training.fit.graphs import sparse_operator


def histories(lengths: list[int], ordered: bool) -> Histories:
    """User u's positives are items 0, 1, ... in the order of time, given in a shuffled file."""
    user_N = np.repeat(np.arange(len(lengths)), lengths)
    item_N = np.concatenate([np.arange(n) for n in lengths]).astype(np.int64)
    shuffled = np.random.default_rng(0).permutation(len(user_N))
    time_N = item_N[shuffled].astype(np.float64) if ordered else None
    return Histories.of(
        user_N[shuffled], item_N[shuffled], time_N, (len(lengths), max(lengths, default=0) + 1)
    )


def predictable(histories: Histories) -> np.ndarray:
    """Positions of the last positives of every user, as many as can be predicted."""
    ends_U = histories.offset_U1[1:]
    positions = map(np.arange, ends_U - histories.predictable_U, ends_U)
    return np.concatenate([*positions]).astype(np.int64)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(1, 15))
def test_a_positive_is_predicted_from_what_came_before_it(lengths: list[int], longest: int) -> None:
    ordered = histories(lengths, ordered=True)
    position_B = predictable(ordered)
    bag = ordered.before(position_B, longest)
    ends = np.append(bag.start_B, len(bag.item_H))[1:]
    assert len(position_B) == sum(max(0, n - 1) for n in lengths)
    for position, start, end in zip(position_B, bag.start_B, ends, strict=True):
        item = ordered.item_P[position]
        assert bag.item_H[start:end].tolist() == list(range(item))[::-1][:longest]
        assert bag.age_H[start:end].tolist() == list(range(min(item, longest)))


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(1, 15))
def test_without_order_it_is_predicted_from_the_others(lengths: list[int], longest: int) -> None:
    unordered = histories(lengths, ordered=False)
    position_B = predictable(unordered)
    bag = unordered.before(position_B, longest)
    ends = np.append(bag.start_B, len(bag.item_H))[1:]
    user_P = np.repeat(np.arange(len(lengths)), lengths)
    assert len(position_B) == sum(n for n in lengths if n > 1)
    for position, start, end in zip(position_B, bag.start_B, ends, strict=True):
        others = bag.item_H[start:end].tolist()
        length = lengths[user_P[position]]
        assert len(set(others)) == len(others) == min(length - 1, longest)
        assert unordered.item_P[position] not in others
        assert set(others) <= set(range(length))
    assert (bag.age_H == 0).all()


@pytest.mark.parametrize("ordered", [True, False])
def test_what_is_left_keeps_its_order(ordered: bool) -> None:
    whole = histories([3, 0, 2], ordered)
    pairs = csr_array(([1.0, 1.0], ([0, 2], [1, 0])), shape=(3, 4))
    left = whole.without(pairs)
    assert left.length_U.tolist() == [2, 0, 1]
    assert left.item_P.tolist() == [*(i for i in whole.item_P[:3] if i != 1), 1]
    assert (left.num_items, left.ordered) == (whole.num_items, ordered)


def test_recency_weights_fall_from_the_newest_and_leave_the_histories_alone() -> None:
    ordered = histories([3, 0, 2], ordered=True)
    before = ordered.item_P.copy()
    weight_UI = ordered.recency_weighted(0.5).toarray()
    assert weight_UI[0] == pytest.approx([3**-0.5, 2**-0.5, 1, 0])
    assert weight_UI[1].sum() == 0
    assert weight_UI[2] == pytest.approx([2**-0.5, 1, 0, 0])
    assert (ordered.item_P == before).all()
    assert (histories([3], ordered=False).recency_weighted(0.5).data == 1).all()


def test_files_in_another_order_of_items_sort_their_histories_too() -> None:
    made = Histories.of(np.array([0, 0, 0]), np.array([2, 0, 1]), np.array([1.0, 2.0, 3.0]), (1, 3))
    made.recency_weighted(0.5)
    assert made.item_P.tolist() == [2, 0, 1]


def test_a_user_is_as_long_as_their_history_is_coherent_and_zero_without_one() -> None:
    foldin_IVMD = np.array(
        [[[[3.0, 0.0], [2.0, 0.0]]], [[[0.0, 4.0], [5.0, 0.0]]]], dtype=np.float32
    )
    weight_BI = histories([2, 0], ordered=False).recency_weighted(0.0)[:, [0, 1]]
    users = fold_in_histories(weight_BI, foldin_IVMD)
    assert users[0, 0] == pytest.approx(np.array([[3 / 7, 4 / 7], [1, 0]]))
    assert not users[1].any()


@given(st.integers(0, 2**32 - 1))
def test_training_and_export_fold_in_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    foldin_IVMD = rng.normal(size=(6, 2, 3, 4)).astype(np.float32)
    weighted = histories([3, 0, 5], ordered=True).recency_weighted(0.75)
    weighted.resize((3, 6))
    trained = fold_in(torch.from_numpy(foldin_IVMD), sparse_operator(weighted))
    exported = fold_in_histories(weighted, foldin_IVMD)
    np.testing.assert_allclose(trained.numpy(), exported, atol=1e-6)
    assert np.linalg.norm(exported, axis=-1).max() <= 1 + 1e-6
