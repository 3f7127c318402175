"""The process as a whole: work beside requests, memory, and how it leaves on SIGTERM.

Work beside requests must not slow them, so it runs with pauses, and loading with low priority.
"""

import asyncio
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TypeVar

from service.schemas.errors import SourceUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

_NICENESS = 10
"""Such a thread gets a tenth of a usual one's share of a busy processor: on a machine with nothing
to spare a load takes ten times as long, not for ever."""
_SWITCH_SECONDS = 0.001
_WORK_SECONDS = 0.001
_PAUSE_SECONDS = 0.0002
_LONGEST_PAUSE_SECONDS = 0.02
"""A request takes Python's lock some forty times, and beside a thread that always wants it waits up
to a millisecond for each. So work pauses until no list is being made; where there always is one, it
still gets on (docs/adr/0030)."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MAPPED_BYTES = 2**20
"""Far above what a request of one user needs, far below an array of a model."""
_KEPT_BYTES = 16 * 2**20
"""More than the arrays of a batch. By default glibc keeps 128 KB of free memory, so every batch
returned its memory and got cleared pages for the next (measured at 7,000 items: 100 page faults per
request, a fifth of the processor time of its list)."""

_logger = logging.getLogger(__name__)
_this_thread = threading.local()


class _Lists:
    """Those that are being made by this process."""

    number = 0
    """Changed in the event loop only."""


async def repeat(look: Callable[[], Awaitable[None]], pause_seconds: float, what: str) -> None:
    """Call `look` until cancelled; a failure is logged under the name `what`.

    SourceUnavailable is not logged here: the model follower logs it already.
    """
    while True:
        try:
            await look()
        except SourceUnavailable:
            pass
        except Exception:
            _logger.exception("%s could not be looked up", what)
        await asyncio.sleep(pause_seconds)


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel a task that runs for ever, and wait for its end.

    It is cancelled until it ends: before Python 3.12, `asyncio.wait_for`, which the Redis client
    uses, loses a cancellation that arrives together with its result.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)


async def in_background(work: Callable[[], Result]) -> Result:
    """Do blocking work in a thread of its own, with low priority.

    The thread goes on if the caller is cancelled, and ends with the process.
    """
    done: Future[Result] = Future()
    done.set_running_or_notify_cancel()  # so that a cancelled caller does not cancel it

    def run() -> None:
        _lower_priority()
        try:
            result = beside_requests(work)
        except BaseException as error:  # noqa: BLE001  # raised where the caller waits
            done.set_exception(error)
        else:
            done.set_result(result)

    threading.Thread(target=run, name="background", daemon=True).start()
    return await asyncio.wrap_future(done)


def _lower_priority() -> None:
    """Lower this thread's priority. Only Linux has one per thread; elsewhere nothing changes."""
    if sys.platform == "linux":
        with suppress(OSError):  # the system may forbid it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def beside_requests(work: Callable[[], Result]) -> Result:
    """Do blocking work in this thread, where `with_pauses` pauses until it is done."""
    _this_thread.pauses = True
    try:
        return work()
    finally:
        _this_thread.pauses = False


def with_pauses(items: Iterable[Item]) -> Iterator[Item]:
    """The same items. Beside requests it pauses after each millisecond of work.

    So requests get Python's lock, and the processor.
    """
    if not getattr(_this_thread, "pauses", False):
        yield from items
        return
    until = time.perf_counter() + _WORK_SECONDS
    for item in items:
        yield item
        if (now := time.perf_counter()) > until:
            time.sleep(_PAUSE_SECONDS)
            while _Lists.number and time.perf_counter() < now + _LONGEST_PAUSE_SECONDS:
                time.sleep(_PAUSE_SECONDS)
            until = time.perf_counter() + _WORK_SECONDS


@contextmanager
def making_a_list() -> Iterator[None]:
    """Work beside requests pauses meanwhile. For the event loop."""
    _Lists.number += 1
    try:
        yield
    finally:
        _Lists.number -= 1


def tune_process() -> None:
    """Set what holds for the whole process: when threads take turns, and how memory is kept.

    Threads take Python's lock from each other after 1 ms instead of 5: a request gives it up about
    forty times, whenever numpy or the graph runtime releases it.

    glibc maps arrays of a megabyte and more separately, so a replaced model's memory goes back to
    the system. By default it raises that limit whenever such an array is freed; the next models
    then come from heaps, where small objects keep freed memory from going back. Without glibc the
    memory stays as it is.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


class Drain:
    """On SIGTERM: report not ready, serve on for some seconds, then let uvicorn stop.

    Uvicorn stops listening at once, but a load balancer needs some seconds until it stops sending.
    On SIGINT (Ctrl-C) uvicorn stops at once. Either way `begun` tells streams to end: uvicorn waits
    for them.
    """

    def __init__(self, seconds: float) -> None:
        self.begun = False
        self._seconds = seconds

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Delay whatever SIGTERM does, and note both signals; a second SIGTERM acts at once.

        Only the main thread gets signals; in any other thread (an application in a test) this does
        nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def leave(number: int, frame: FrameType | None) -> None:
            act = usual[signal.Signals(number)]
            signal.signal(number, act)
            self.begun = True
            seconds = self._seconds if number == signal.SIGTERM else 0
            if callable(act):
                loop.call_soon_threadsafe(loop.call_later, seconds, act, number, frame)

        for number in usual:
            signal.signal(number, leave)
        try:
            yield
        finally:
            for number, act in usual.items():
                signal.signal(number, act)
