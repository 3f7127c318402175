"""Popularity: everyone gets the items with the most training positives.

Knows training positives only. Letters: B users of a block, I items.
"""

from dataclasses import dataclass

import numpy as np

from training.dataset import Dataset
from training.evaluation import ScoreFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class Popularity:
    """It has no settings."""

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] are the items' counts."""
        train = dataset.train
        count_I = np.bincount(train.indices, minlength=train.shape[1]).astype(np.float32)
        return lambda users: np.tile(count_I, (len(users), 1))
