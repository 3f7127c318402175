"""The lead of one model over another, from their evaluations by several seeds.

Knows evaluations on the same target; knows nothing about models. Letters: U users, S seeds.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.benchmark.outcome import Lead
from training.evaluation import Evaluation
from training.metrics import paired_bootstrap


def paired_lead(one: Sequence[Evaluation], other: Sequence[Evaluation], metric: str) -> Lead:
    """One minus the other: each user's value averaged over seeds, users resampled in pairs."""
    average, low, high = paired_bootstrap(_per_user(one, metric), _per_user(other, metric), seed=0)
    return Lead(mean=average, low=low, high=high)


def _per_user(tests: Sequence[Evaluation], metric: str) -> NDArray[np.float64]:
    value_SU = np.stack([test.per_user[metric] for test in tests])
    return np.asarray(value_SU.mean(axis=0), dtype=np.float64)
