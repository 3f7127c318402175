from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from training.data.interactions import (
    TEST,
    TRAIN,
    VALID,
    split_at_random,
    split_by_global_time,
    split_by_time,
)

USERS = arrays(np.int64, st.integers(1, 80), elements=st.integers(0, 4))


def expected_held_out(count: int) -> int:
    """The documented rule in exact arithmetic: a tenth rounded half up, at least one."""
    return max(1, int(Fraction(count, 10) + Fraction(1, 2))) if count >= 3 else 0


def check_counts(user_N: NDArray[np.int64], part_N: NDArray[np.int64]) -> None:
    for user in np.unique(user_N):
        parts = part_N[user_N == user]
        held_out = expected_held_out(len(parts))
        assert (parts == TEST).sum() == held_out
        assert (parts == VALID).sum() == held_out
        assert (parts == TRAIN).sum() == len(parts) - 2 * held_out


@given(user_N=USERS, data=st.data())
def test_nobody_trains_on_what_is_newer_than_her_test(user_N: NDArray[np.int64], data):
    time_N = data.draw(
        arrays(np.float64, len(user_N), elements=st.integers(0, 5).map(float)), label="times"
    )
    part_N = split_by_time(user_N, time_N)
    check_counts(user_N, part_N)
    for user in np.unique(user_N):
        mine = user_N == user
        in_order = part_N[mine][np.argsort(time_N[mine], kind="stable")]
        assert (np.diff(in_order) >= 0).all()


@given(user_N=USERS, seed=st.integers(0, 9))
def test_the_random_split_has_the_same_proportions_and_a_seed(user_N: NDArray[np.int64], seed: int):
    part_N = split_at_random(user_N, seed)
    check_counts(user_N, part_N)
    np.testing.assert_array_equal(part_N, split_at_random(user_N, seed))


def test_another_seed_is_another_split():
    user_N = np.zeros(50, dtype=np.int64)
    assert (split_at_random(user_N, 0) != split_at_random(user_N, 1)).any()


def test_users_may_be_absent_or_interleaved():
    user_N = np.array([7, 2, 7, 2, 7, 2])
    part_N = split_by_time(user_N, np.array([3.0, 1, 1, 2, 2, 3]))
    assert part_N.tolist() == [TEST, TRAIN, TRAIN, VALID, VALID, TEST]


@given(time_N=arrays(np.float64, st.integers(1, 60), elements=st.integers(0, 9).map(float)))
def test_the_global_cut_is_one_moment(time_N: NDArray[np.float64]):
    part_N = split_by_global_time(time_N)
    assert (np.diff(part_N[np.argsort(time_N, kind="stable")]) >= 0).all()
    tenth = int(Fraction(len(time_N), 10) + Fraction(1, 2))
    assert (part_N == TEST).sum() == tenth
    assert (part_N == VALID).sum() == tenth
