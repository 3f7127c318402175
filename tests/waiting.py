"""Waiting for what threads, processes and browsers do, on machines that may be slow.

A limit here tells what hangs from what is slow; no test may measure with it.
"""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 60.0
"""So long anything may take that must come about."""

PATIENT_SERVICE = {
    "MAGNET_REDIS_CONNECT_TIMEOUT_SECONDS": "20",
    "MAGNET_REDIS_TIMEOUT_SECONDS": "20",
    "MAGNET_REDIS_LOAD_TIMEOUT_SECONDS": "45",
    "MAGNET_SHARD_TIMEOUT_SECONDS": "20",
    "MAGNET_REQUEST_TIMEOUT_SECONDS": "60",
}
"""The environment of every service in the tests. Its own limits keep answers quick, and a busy
machine passes them with nothing wrong; a test of a limit sets a short one."""


def until(
    condition: Callable[[], object],
    seconds: float = PATIENCE_SECONDS,
    *,
    failure: Callable[[], object] = lambda: "it did not come about in time",
) -> None:
    """Return as soon as a condition holds; AssertionError with `failure()` if it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, failure()
        time.sleep(0.02)
