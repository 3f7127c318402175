from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from training.evaluate.protocol import (
    VALIDATION_MASKED,
    evaluate,
    item_groups,
    top_items,
    user_groups,
)


def test_training_items_are_masked_and_users_without_target_left_out(make_dataset):
    dataset = make_dataset(
        np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 0]]),
        test=np.array([[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]),
    )
    score = np.array([[9, 5, 1, 8], [0, 0, 0, 0], [9, 8, 7, -1]], dtype=np.float32)
    result = evaluate(lambda rows: score[rows], dataset, dataset.test, ks=(1, 2))
    assert result.users.tolist() == [0, 2]
    assert result.per_user["recall@1"].tolist() == [0.0, 1.0]
    assert result.per_user["recall@2"].tolist() == [1 / 2, 1.0]
    expected = (1 / log2(3)) / (1 + 1 / log2(3))
    assert result.per_user["ndcg@2"].tolist() == pytest.approx([expected, 1.0])
    assert result.metrics["recall@2"] == 3 / 4
    assert result.metrics["coverage@2"] == 3 / 4


def test_later_lists_leave_out_what_was_validated_on(make_dataset):
    dataset = make_dataset(
        np.array([[1, 0, 0, 0]]),
        valid=np.array([[0, 1, 0, 0]]),
        test=np.array([[0, 0, 1, 0]]),
    )
    score = np.array([[9, 8, 7, 1]], dtype=np.float32)
    result = evaluate(
        lambda rows: score[rows], dataset, dataset.test, ks=(1,), mask_validation=True
    )
    assert result.metrics["recall@1"] == 0
    assert result.groups[VALIDATION_MASKED] == {"users": 1, "recall@1": 1.0, "ndcg@1": 1.0}
    assert result.masked_top_UK.tolist() == [[2]]
    assert VALIDATION_MASKED not in evaluate(lambda rows: score[rows], dataset, dataset.test).groups


def test_groups_score_each_user_on_her_items_of_that_group(make_dataset):
    train = np.zeros((8, 4))
    train[:6, 0] = 1  # head: six positives
    train[6, 1] = 1  # tail: one; items 2 and 3 are cold
    train[0, 1:2] = 1
    train[0, 3] = 0
    test = np.zeros((8, 4))
    test[6, [0, 2]] = 1
    test[0, 2] = 1
    dataset = make_dataset(train, test=test)
    score = np.tile(np.array([4, 3, 2, 1], dtype=np.float32), (8, 1))
    result = evaluate(lambda rows: score[rows], dataset, dataset.test, ks=(1,))
    assert item_groups(dataset.train).tolist() == [2, 1, 0, 0]
    assert user_groups(dataset.train).tolist() == [0] * 8
    assert result.groups["head items"] == {"users": 1, "recall@1": 1.0, "ndcg@1": 1.0}
    assert result.groups["cold items"] == {"users": 2, "recall@1": 1 / 2, "ndcg@1": 1 / 2}
    assert "tail items" not in result.groups
    assert result.groups["sparse users"]["users"] == 2
    assert "other users" not in result.groups


def test_the_boundaries_of_the_groups():
    train = np.zeros((6, 3))
    train[:5, 0] = 1
    train[:6, 1] = 1
    train[0, 2] = 1
    matrix = csr_array(train)
    assert item_groups(matrix).tolist() == [1, 2, 1]
    assert user_groups(matrix).tolist() == [1, 0, 0, 0, 0, 0]


def test_blocks_do_not_change_the_result(make_dataset):
    rng = np.random.default_rng(0)
    part = rng.choice(3, size=(50, 30), p=[0.7, 0.2, 0.1])
    dataset = make_dataset(part == 1, test=part == 2)
    score = rng.integers(0, 4, (50, 30)).astype(np.float32)
    whole = evaluate(lambda rows: score[rows], dataset, dataset.test)
    pieces = evaluate(lambda rows: score[rows], dataset, dataset.test, block=7)
    assert whole.metrics == pieces.metrics
    assert whole.groups == pieces.groups


def test_scores_are_read_and_not_written(make_dataset):
    dataset = make_dataset(np.eye(3), test=1 - np.eye(3))
    score = np.ones((3, 3), dtype=np.float32)
    evaluate(lambda rows: score, dataset, dataset.test)
    assert (score == 1).all()


def test_scores_that_are_no_numbers_are_refused(make_dataset):
    dataset = make_dataset(np.eye(2), test=1 - np.eye(2))
    with pytest.raises(ValueError, match="scores hold NaN"):
        evaluate(lambda rows: np.full((2, 2), np.nan, np.float32), dataset, dataset.test)


@given(
    score=arrays(
        np.float32, st.tuples(st.integers(1, 5), st.integers(1, 12)), elements=st.integers(-2, 2)
    ),
    k=st.integers(1, 14),
)
def test_top_items_equal_a_full_stable_sort(score: np.ndarray, k: int):
    expected = np.argsort(-score, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(top_items(score, k), expected)
