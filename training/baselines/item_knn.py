"""ItemKNN: items that the same users have are similar.

Knows training positives only. Letters: B users of a block, U users, I items, N pairs of items.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from training.baselines.neighbourhood import nearest, neighbourhood_scores, row_normalised
from training.dataset import Dataset
from training.evaluation import ScoreFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemKNN:
    """Sum of similarities between an item and the user's items, of which each keeps its nearest.

    sim(i, j) = c_ij / (sqrt(c_ii c_jj) + shrinkage), where c_ij counts the users who have both,
    each weighed by degree^-user_damping (ours; 0 is the plain cosine).
    """

    neighbours: int
    shrinkage: float
    user_damping: float

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] are sums over the training items of each user."""
        train = dataset.train
        weighted_UI = row_normalised(train, self.user_damping)
        norm_I = np.sqrt(np.asarray(weighted_UI.sum(axis=0)).ravel())

        def cosine(
            row_N: NDArray[np.integer],
            column_N: NDArray[np.integer],
            common_N: NDArray[np.float32],
        ) -> NDArray[np.floating]:
            norm_N: NDArray[np.floating] = norm_I[row_N] * norm_I[column_N]
            return common_N / (norm_N + self.shrinkage)

        similarity_II = nearest(csr_array(train.T), weighted_UI, self.neighbours, cosine)
        return neighbourhood_scores(train, similarity_II)
