"""The process as a whole: how it leaves on SIGTERM, and how its memory is allocated."""

import asyncio
import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MAPPED_BYTES = 2**20
"""Far above what a request of one user needs, far below an array of a model."""
_KEPT_BYTES = 16 * 2**20
"""Above what the arrays of a batch need together. By default 128 KB of free memory are kept: the
rest went back after every batch, and was cleared again for the next one (measured at 7,000 items:
a hundred page faults for each request, a fifth of the processor time of its list)."""


def settle_allocations() -> None:
    """Let glibc map arrays from a megabyte on by themselves, and keep some megabytes below that.

    A replaced model's memory then goes back to the system. By default glibc raises the first limit
    with every such array that is freed, and the next models come from heaps in which small objects
    keep what is freed around them from going back. Without glibc this does nothing.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


class Drain:
    """On SIGTERM: be not ready, serve on for a while, then let uvicorn stop.

    Uvicorn stops listening at once and finishes what is in flight; a load balancer needs some
    seconds before it stops sending.
    """

    def __init__(self, seconds: float) -> None:
        self.begun = False
        self._seconds = seconds

    @contextmanager
    def on_sigterm(self) -> Iterator[None]:
        """Put a pause before whatever SIGTERM does; a second one does not wait.

        Signals reach only the main thread: in any other (an application in a test) this does
        nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        stop = signal.getsignal(signal.SIGTERM)

        def leave(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGTERM, stop)
            self.begun = True
            if callable(stop):
                loop.call_soon_threadsafe(loop.call_later, self._seconds, stop, number, frame)

        signal.signal(signal.SIGTERM, leave)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, stop)
