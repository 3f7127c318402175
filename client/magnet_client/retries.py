"""When a call that failed is sent again.

Knows time and chance; knows nothing about HTTP. Every call of this client may be repeated: all but
feedback only ask, and an event counts once by its id.
"""

import random
from dataclasses import dataclass

from magnet_client.errors import MagnetError


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often, and how long to wait in between."""

    attempts: int = 4
    """Of one call, the first included; 1 for none but that."""
    base_seconds: float = 0.1
    """Longest wait after the first failure; it doubles with each further one."""
    most_seconds: float = 10.0
    """Longest wait; a service that asks to be left alone for longer is taken at its word, and the
    call fails."""

    def wait_seconds(self, failures: int, error: MagnetError) -> float:
        """How long to wait after so many failures, the last of which is `error`.

        A wait is drawn between nothing and the longest, so that clients that failed together do not
        come back together; what the service asks to be waited is added.

        Raises:
            MagnetError: `error` itself, where it is no use to go on.
        """
        asked = error.retry_after_seconds or 0.0
        if not error.may_pass or failures >= self.attempts or asked > self.most_seconds:
            raise error
        longest = min(self.base_seconds * 2 ** (failures - 1), self.most_seconds - asked)
        return asked + random.uniform(0.0, longest)
