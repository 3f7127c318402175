"""Work beside requests, and what a process keeps of the memory of models that came and went."""

import asyncio
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from service.ops import process
from service.ops.process import in_background, with_pauses
from tests.waiting import PATIENCE_SECONDS, until

_CHURN = """
import random, sys
import numpy as np
from service.ops.process import tune_process
if sys.argv[1] == "mapped":
    tune_process()
rng, kept = random.Random(0), []
def resident_mb():
    with open("/proc/self/statm") as text:
        return int(text.read().split()[1]) * 4096 / 1e6
before = resident_mb()
for _ in range(10):
    model = []
    for _ in range(12):
        model.append(np.ones(rng.randrange(300_000, 900_000)))
        kept.append(bytearray(2_000))
    del model
print(resident_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tells about glibc")
@pytest.mark.parametrize(("how", "least", "most"), [("mapped", -5, 5), ("default", 15, 1000)])
def test_models_that_went_leave_nothing_behind(how: str, least: float, most: float) -> None:
    done = subprocess.check_output([sys.executable, "-c", _CHURN, how], text=True)
    assert least < float(done) < most


def test_what_is_found_or_fails_in_the_background_is_the_callers() -> None:
    assert asyncio.run(in_background(lambda: 3)) == 3

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(in_background(fail))


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux")
def test_its_thread_yields_and_no_other_does() -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = priority()
    assert asyncio.run(in_background(priority)) == max(before, 10)
    assert priority() == before


def test_who_is_cancelled_does_not_wait_for_it() -> None:
    go_on = threading.Event()
    told_to: list[bool] = []

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await in_background(lambda: told_to.append(go_on.wait(PATIENCE_SECONDS)))
        go_on.set()
        await asyncio.sleep(0.05)  # what comes of it then is nobody's

    asyncio.run(give_up())
    until(lambda: told_to)
    assert told_to == [True], "by one who no longer waited"


def test_beside_requests_work_pauses_while_lists_are_made(monkeypatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(process.time, "sleep", pauses.append)

    def work() -> list[int]:
        done = []
        for number in with_pauses(range(10)):
            until = time.perf_counter() + 0.0012
            while time.perf_counter() < until:
                pass
            done.append(number)
        return done

    def pauses_of(run: Callable[[], list[int]]) -> int:
        pauses.clear()
        assert run() == list(range(10))
        return len(pauses)

    assert pauses_of(work) == 0, "nobody waits"
    assert pauses_of(lambda: process.beside_requests(work)) == 10
    assert pauses_of(lambda: asyncio.run(in_background(work))) == 10
    with process.making_a_list():
        assert pauses_of(lambda: process.beside_requests(work)) > 20
    assert pauses_of(lambda: process.beside_requests(work)) == 10
