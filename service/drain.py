"""Leaving in peace: on SIGTERM say that we are going, serve on for a while, then let uvicorn stop.

Uvicorn stops listening at once and finishes what is in flight; a load balancer needs some seconds
before it stops sending. Knows signals; knows nothing about requests.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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
