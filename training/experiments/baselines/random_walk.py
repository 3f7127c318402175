"""Random walks of three steps, user - item - user - item: P3alpha and RP3beta.

Knows training positives only. Letters: B users of a block, U users, I items.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, diags_array

from training.data.dataset import Dataset
from training.evaluate.protocol import ScoreFunction
from training.experiments.baselines.item_knn import nearest, neighbourhood_scores, row_normalised


@dataclass(frozen=True, slots=True, kw_only=True)
class P3Alpha:
    """Transition probabilities are raised to `alpha`; each item keeps its likeliest successors.

    Ref: Cooper et al., "Random walks in recommender systems", WWW 2014 Companion.
    """

    alpha: float
    neighbours: int

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] are sums over the training items of each user."""
        return _walk(dataset.train, self.alpha, 0.0, self.neighbours)


@dataclass(frozen=True, slots=True, kw_only=True)
class RP3Beta:
    """P3alpha, divided by the target's degree raised to `beta`: less drawn to popular items.

    Ref: Paudel et al., ACM TiiS 7(1), 2016.
    """

    alpha: float
    beta: float
    neighbours: int

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] are sums over the training items of each user."""
        return _walk(dataset.train, self.alpha, self.beta, self.neighbours)


def _walk(train: csr_array, alpha: float, beta: float, neighbours: int) -> ScoreFunction:
    to_item_UI = row_normalised(train, alpha)
    to_user_IU = row_normalised(csr_array(train.T), alpha)
    degree_I = np.bincount(train.indices, minlength=train.shape[1])
    damping_I = (np.maximum(degree_I, 1.0) ** -beta).astype(np.float32)
    damped_UI = csr_array(to_item_UI @ diags_array(damping_I))
    return neighbourhood_scores(train, nearest(to_user_IU, damped_UI, neighbours))
