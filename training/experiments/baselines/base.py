"""What a baseline yields when it is fitted, when it must stop, and how it says that it cannot run.

Knows nothing about any one baseline.
"""

# FOLDED training/experiments/baselines/base.py: Popularity: everyone gets the items with the most training positives.
#
#   Knows training positives only. Letters: B users of a block, I items.
#

import time
from dataclasses import dataclass

import numpy as np

from training.data.dataset import Dataset
from training.evaluate.protocol import ScoreFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class Popularity:
    """It has no settings."""

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] are the items' counts."""
        train = dataset.train
        count_I = np.bincount(train.indices, minlength=train.shape[1]).astype(np.float32)
        return lambda users: np.tile(count_I, (len(users), 1))


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
