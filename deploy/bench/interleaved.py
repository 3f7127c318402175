"""Timing side by side: every candidate takes its turn in every round, on one pinned thread.

Interleaving makes a busy or throttled machine slow all candidates alike, so that ratios hold where
seconds do not. Knows callables; knows nothing about what they do. Linux only (affinity).
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

WARM_ROUNDS = 2
"""Rounds that are run and not counted: caches, page tables and thread pools settle."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold the process to its first allowed CPU and BLAS to one thread; undone at the end."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        os.sched_setaffinity(0, allowed)


def median_seconds(
    candidates: Mapping[str, Callable[[int], object]], rounds: int
) -> dict[str, float]:
    """The median processor time of each candidate, which is called with the round's number.

    Processor time of this thread, so that what else runs on the machine is not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(-WARM_ROUNDS, rounds):
        for name, candidate in candidates.items():
            started = time.thread_time()
            candidate(max(0, number))
            seconds = time.thread_time() - started
            if number >= 0:
                taken[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}
