"""Work beside requests that must not slow them: threads of low priority, and pauses."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")

_NICENESS = 10
"""A tenth of what a thread of usual priority gets where both want the same processor: a load on a
machine with nothing to spare takes ten times as long, not for ever."""
_SWITCH_SECONDS = 0.001
_ITEMS_BETWEEN_PAUSES = 256
_PAUSE_SECONDS = 0.0005


def share_the_interpreter() -> None:
    """Let threads take Python's lock from each other after a millisecond, from now on.

    By default a thread that computes in Python keeps it for five; a request passes it on some forty
    times, each time that numpy or the graph runtime lets go of it.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


async def in_background(work: Callable[[], Result]) -> Result:
    """Do blocking work in a thread of its own that yields to every other on the machine.

    It goes on if the caller is cancelled, and ends with the process.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("Result", result))

    def run() -> None:
        _yield_to_others()
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # raised where the caller waits
            failure = error
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="background", daemon=True).start()
    return await done


def _yield_to_others() -> None:
    """Lower this thread's priority. Only Linux has one per thread; elsewhere nothing changes."""
    if sys.platform == "linux":
        with suppress(OSError):  # as where the system forbids it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def with_pauses(items: Iterable[Item]) -> Iterator[Item]:
    """The same items; many of them with pauses, in which other threads get Python's lock at once."""
    for number, item in enumerate(items, 1):
        yield item
        if number % _ITEMS_BETWEEN_PAUSES == 0:
            time.sleep(_PAUSE_SECONDS)
