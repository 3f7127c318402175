"""Work that must not be felt: done when nothing else is to be done, and with pauses.

Knows threads and the system's priorities; knows nothing about what is worked on.
"""

# FOLDED service/ops/process.py: Has the C library hand a replaced model's memory back to the system, and keep what requests use.
#
#   Knows glibc's allocator only; elsewhere it does nothing.
#
# FOLDED service/ops/process.py: Leaving in peace: on SIGTERM say that we are going, serve on for a while, then let uvicorn stop.
#
#   Uvicorn stops listening at once and finishes what is in flight; a load balancer needs some seconds
#   before it stops sending. Knows signals; knows nothing about requests.
#
# FOLDED service/ops/process.py: A lock between the processes of one machine, on a file; a holder that dies lets go of it.
#
#   Knows files; knows nothing about what is protected. Linux and macOS.
#
# FOLDED service/ops/process.py: Looks again and again for as long as the process lives, and never raises.
#
#   Knows pauses; knows nothing about what is looked at.
#

import asyncio
import ctypes
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TypeVar, cast

from service.schemas.errors import SourceUnavailable

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MAPPED_BYTES = 2**20
"""Far above what a request of one user needs, far below an array of a model."""
_KEPT_BYTES = 16 * 2**20
"""Above what the arrays of a batch need together. By default 128 KB of free memory are kept: the
rest went back after every batch, and was cleared again for the next one (measured at 7,000 items:
a hundred page faults for each request, a fifth of the processor time of its list)."""


def settle_allocations() -> None:
    """Map arrays from a megabyte on by themselves, for good, and keep some megabytes below that.

    By default glibc raises the first limit with every such array that is freed, and the next models
    come from heaps in which small objects keep what is freed around them from going back.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


_logger = logging.getLogger(__name__)


class Drain:
    """Whether the process is on its way out."""

    def __init__(self, seconds: float) -> None:
        self.begun = False
        self._seconds = seconds

    @contextmanager
    def on_sigterm(self) -> Iterator[None]:
        """Put a pause before whatever SIGTERM does; a second one does not wait.

        Signals reach only the main thread: anywhere else (an application in a test) this does
        nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        go = signal.getsignal(signal.SIGTERM)

        def leave(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGTERM, go)
            self.begun = True
            if callable(go):
                loop.call_soon_threadsafe(loop.call_later, self._seconds, go, number, frame)

        signal.signal(signal.SIGTERM, leave)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, go)


_POLL_SECONDS = 0.1
"""Between two attempts: what is waited for takes seconds."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock; blocks until it is free. The file stays."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@asynccontextmanager
async def locked_async(path: Path) -> AsyncIterator[None]:
    """Hold the lock without blocking the event loop, and give up waiting when cancelled."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            await asyncio.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


async def watch(look: Callable[[], Awaitable[None]], pause_seconds: float, what: str) -> None:
    """Call `look` until cancelled; `what` names it in the log when it fails.

    Of a source that does not answer, whoever follows the live version says so.
    """
    while True:
        try:
            await look()
        except SourceUnavailable:
            pass
        except Exception:
            _logger.exception("%s could not be looked up", what)
        await asyncio.sleep(pause_seconds)


Item = TypeVar("Item")
Result = TypeVar("Result")


_NICENESS = 10
"""A tenth of what a thread of usual priority gets where both want the same processor: a load on a
machine with nothing to spare takes ten times as long, not for ever."""
_SWITCH_SECONDS = 0.001
_ITEMS_BETWEEN_PAUSES = 256
_PAUSE_SECONDS = 0.0005


def share_the_interpreter() -> None:
    """Let threads take Python's lock from each other after a millisecond, for good.

    By default one that computes in Python keeps it for five; a request passes it on some forty
    times, each time that numpy or the graph runtime lets go of it.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


async def in_background(work: Callable[[], Result]) -> Result:
    """Do blocking work in a thread of its own that yields to every other on the machine.

    It goes on if the caller is cancelled, and ends with the process.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def note(result: Result | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("Result", result))

    def tell(result: Result | None, error: BaseException | None) -> None:
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(note, result, error)

    def run() -> None:
        _yield_to_others()
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # it is the caller's, who is waiting for it
            tell(None, error)
        else:
            tell(result, None)

    threading.Thread(target=run, name="background", daemon=True).start()
    return await done


def _yield_to_others() -> None:
    """Linux gives every thread a priority; elsewhere it is the process's and stays as it is."""
    if sys.platform == "linux":
        with suppress(OSError):  # as where the system forbids it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def with_pauses(items: Iterable[Item]) -> Iterator[Item]:
    """The same items; many of them with pauses, in which others get Python's lock at once."""
    for number, item in enumerate(items, 1):
        yield item
        if number % _ITEMS_BETWEEN_PAUSES == 0:
            time.sleep(_PAUSE_SECONDS)
