"""A lock between the processes of one machine, on a file; a holder that dies lets go of it.

Knows files; knows nothing about what is protected. Linux and macOS.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

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
