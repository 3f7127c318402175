import os
import time

import numpy as np
from threadpoolctl import threadpool_info

from deploy.benchmarks.serving.rig import WARM_ROUNDS, median_seconds, one_thread


def test_every_candidate_takes_its_turn_and_is_timed_alone() -> None:
    calls: list[tuple[str, int]] = []

    def busy(number: int) -> None:
        calls.append(("busy", number))
        until = time.thread_time() + 0.01
        while time.thread_time() < until:
            pass

    def idle(number: int) -> None:
        calls.append(("idle", number))

    seconds = median_seconds({"busy": busy, "idle": idle}, rounds=3)
    assert [name for name, _ in calls] == ["busy", "idle"] * (3 + WARM_ROUNDS)
    assert [number for _, number in calls[-6:]] == [0, 0, 1, 1, 2, 2]
    assert seconds["busy"] >= 0.0099
    assert seconds["idle"] < seconds["busy"] / 2


def test_one_thread_holds_and_lets_go() -> None:
    assert np.ones((2, 2)).sum() == 4  # BLAS is loaded
    before = os.sched_getaffinity(0)
    with one_thread():
        assert len(os.sched_getaffinity(0)) == 1
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert os.sched_getaffinity(0) == before
