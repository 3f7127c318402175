"""Which positives train, validate and test: pure functions from rows to part numbers.

Knows users, times and seeds; knows nothing about files or items.

Letters: N positives.
"""

import numpy as np
from numpy.typing import NDArray

TRAIN, VALID, TEST = 0, 1, 2
MIN_TO_SPLIT = 3
"""A user with fewer positives only trains: each part of a split needs one."""


def split_by_time(user_N: NDArray[np.int64], timestamp_N: NDArray[np.float64]) -> NDArray[np.int64]:
    """Each user's newest tenth (at least one) tests, the tenth before it validates.

    Equal times keep the order given. See docs/adr/0003-split-by-time-is-per-user.md.
    """
    return _split_each_user(user_N, np.argsort(timestamp_N, kind="stable"))


def split_at_random(user_N: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """As `split_by_time`, in an order drawn by seed."""
    return _split_each_user(user_N, np.random.default_rng(seed).permutation(len(user_N)))


def split_by_global_time(timestamp_N: NDArray[np.float64]) -> NDArray[np.int64]:
    """The oldest 80 % of all positives train, the next 10 % validate, the newest 10 % test."""
    first_valid, first_test = global_time_cuts(len(timestamp_N))
    part_N = np.full(len(timestamp_N), TRAIN, dtype=np.int64)
    order_N = np.argsort(timestamp_N, kind="stable")
    part_N[order_N[first_valid:]] = VALID
    part_N[order_N[first_test:]] = TEST
    return part_N


def global_time_cuts(num: int) -> tuple[int, int]:
    """Where validation and test begin in the order of time."""
    return num - 2 * _tenth(num), num - _tenth(num)


def _tenth(num: int) -> int:
    """A tenth, rounded half up."""
    return (num + 5) // 10


def _split_each_user(user_N: NDArray[np.int64], order_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Part of each row when every user's rows are taken in the order given."""
    by_user_N = order_N[np.argsort(user_N[order_N], kind="stable")]
    count_U = np.bincount(user_N)
    held_U = np.where(count_U >= MIN_TO_SPLIT, np.maximum(1, (count_U + 5) // 10), 0)
    end_U = np.cumsum(count_U)
    sorted_user_N = user_N[by_user_N]
    from_end_N = end_U[sorted_user_N] - np.arange(len(user_N)) - 1
    held_N = held_U[sorted_user_N]
    part_N = np.full(len(user_N), TRAIN, dtype=np.int64)
    part_N[by_user_N[from_end_N < 2 * held_N]] = VALID
    part_N[by_user_N[from_end_N < held_N]] = TEST
    return part_N
