import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.retrieval.query import Eligible

NUM_ITEMS = 12
row_lists = st.lists(st.integers(0, NUM_ITEMS - 1), max_size=20)


def rows_of(rows: list[int]) -> np.ndarray:
    return np.array(rows, dtype=np.intp)


@given(row_lists, st.lists(row_lists, max_size=3), row_lists)
def test_every_way_of_asking_agrees_with_sets(excluded, only, asked) -> None:
    eligible = Eligible(NUM_ITEMS, rows_of(excluded), [rows_of(rows) for rows in only])
    expected = set(range(NUM_ITEMS)).intersection(*only) - set(excluded)
    assert eligible.rows().tolist() == sorted(expected)
    assert len(eligible) == len(expected)
    assert np.flatnonzero(eligible.mask_I).tolist() == sorted(expected)
    assert eligible.among(rows_of(asked)).tolist() == [row for row in asked if row in expected]


@pytest.mark.parametrize("only", [[], [np.array([0, 3, 5])]])
def test_without_leaves_the_original_alone(only) -> None:
    eligible = Eligible(6, np.array([1]), only)
    before = eligible.rows().tolist()
    fewer = eligible.without(np.array([3, 1]))
    assert fewer.rows().tolist() == [row for row in before if row != 3]
    assert eligible.rows().tolist() == before
