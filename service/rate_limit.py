"""How often one may ask: a token bucket.

Pure but for the clock that it is handed. Knows nothing about keys or requests.
"""

from collections.abc import Callable


class TokenBucket:
    """Fills by `per_second`, up to `burst`; each request takes one token."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    def wait_seconds(self) -> float:
        """Take a token and return 0, or say in how many seconds there will be one."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._per_second
        self._tokens -= 1
        return 0.0
