"""What a baseline yields when it is fitted, when it must stop, and how it says that it cannot run.

Knows nothing about any one baseline.
"""

import time
from dataclasses import dataclass

from training.evaluation import ScoreFunction

MAX_MEMORY = 16 * 2**30
"""Bytes; a baseline that is known to need more is left out."""


class BaselineError(ValueError):
    """A baseline cannot be fitted to this data set; the message says why."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment after which no new epoch and no new setting is begun."""

    monotonic_seconds: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """So many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return time.monotonic() >= self.monotonic_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """One fitted baseline."""

    score: ScoreFunction
    seconds_per_epoch: float | None = None
    """Validation included; None for a closed form."""
    finished: bool = True
    """False if the deadline came before validation had stopped improving."""
