from pathlib import Path

import numpy as np
import pytest

from training.data.dataset import DataConfig, Dataset, load_dataset
from training.experiments.cold_start.runner import drawn, within, without_items, without_users


@pytest.fixture(scope="module")
def dataset(tiny_data: Path) -> Dataset:
    return load_dataset(DataConfig(folder=tiny_data))


def items_of(dataset: Dataset, user: int) -> list[int]:
    histories = dataset.train_histories
    return histories.item_P[histories.offset_U1[user] : histories.offset_U1[user + 1]].tolist()


def test_a_share_of_those_with_positives_is_drawn_and_always_the_same() -> None:
    count = np.array([3, 0, 1] * 40)
    chosen = drawn(count, 0.25)
    assert chosen.sum() == 20
    assert count[chosen].min() > 0
    np.testing.assert_array_equal(chosen, drawn(count, 0.25))
    assert drawn(np.array([0, 5]), 0.01).tolist() == [False, True]


def test_nothing_of_withheld_users_is_left_to_training(dataset: Dataset) -> None:
    user_U = np.zeros(60, dtype=np.bool_)
    user_U[[3, 10]] = True
    reduced = without_users(dataset, user_U)
    for part in ("train", "valid"):
        before, after = getattr(dataset, part).toarray(), getattr(reduced, part).toarray()
        assert before[user_U].any()
        assert not after[user_U].any()
        np.testing.assert_array_equal(after[~user_U], before[~user_U])
    assert [items_of(reduced, user) for user in (3, 10)] == [[], []]
    for user in (0, 4, 11, 58):
        assert items_of(reduced, user) == items_of(dataset, user)
    assert reduced.sha256 != dataset.sha256


def test_withheld_items_keep_their_features_alone(dataset: Dataset) -> None:
    item_I = np.zeros(40, dtype=np.bool_)
    item_I[[2, 7, 8]] = True
    reduced = without_items(dataset, item_I)
    for part in ("train", "valid"):
        before, after = getattr(dataset, part).toarray(), getattr(reduced, part).toarray()
        assert not after[:, item_I].any()
        np.testing.assert_array_equal(after[:, ~item_I], before[:, ~item_I])
    for user in range(60):
        kept = [item for item in items_of(dataset, user) if not item_I[item]]
        assert items_of(reduced, user) == kept
    assert reduced.features is dataset.features
    weighted = reduced.train_histories.recency_weighted(0.0)
    np.testing.assert_array_equal(weighted.toarray(), reduced.train.toarray())


def test_only_rows_and_columns_asked_for(dataset: Dataset) -> None:
    user_U, item_I = np.arange(60) < 5, np.arange(40) % 3 == 0
    part = within(dataset.test, user_U, item_I)
    whole = dataset.test.toarray()
    np.testing.assert_array_equal(part.toarray(), whole * user_U[:, None] * item_I)
    assert part.nnz == part.toarray().sum()
