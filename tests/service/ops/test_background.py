"""Work beside requests: its thread yields, what comes of it comes back, pauses are taken."""

import asyncio
import os
import sys
import threading
import time

import pytest

from service.ops import background
from service.ops.background import in_background, with_pauses


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

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await in_background(lambda: go_on.wait(20))
        go_on.set()
        await asyncio.sleep(0.05)  # what comes of it then is nobody's

    started = time.monotonic()
    asyncio.run(give_up())
    assert time.monotonic() - started < 10


def test_many_items_are_given_with_pauses(monkeypatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(background.time, "sleep", pauses.append)
    assert list(with_pauses(range(600))) == list(range(600))
    assert len(pauses) == 2
    assert list(with_pauses([])) == []
