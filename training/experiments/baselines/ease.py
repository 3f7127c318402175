"""EASE: the closed-form linear autoencoder, and the same asked about weighted histories.

Knows training positives, and for RecencyEASE their order. Letters: B users of a block, U users,
I items.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_array

from training.data.dataset import Dataset
from training.evaluate.protocol import ScoreFunction
from training.experiments.baselines.base import MAX_MEMORY, BaselineError
from training.experiments.baselines.item_knn import row_normalised

_BYTES_PER_ENTRY = 8 + 4
"""Of the item-item matrix: float64 while it is inverted, beside the float32 weights made of it."""
_BLOCK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class EASE:
    """The closed-form linear autoencoder without self-similarity.

    B = I - P / diag(P), P = (X^T X + penalty I)^-1. Ref: Steck, WWW 2019. Rows of X may be weighed
    down by degree^-user_damping (ours), which helps where few users hold most interactions.
    """

    penalty: float
    user_damping: float

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] are X B; BaselineError where B does not fit into memory."""
        train = dataset.train
        weight_II = self.weights(train)
        return lambda users: np.asarray(train[users] @ weight_II, dtype=np.float32)

    def weights(self, train: csr_array) -> NDArray[np.float32]:
        """B [I, I] of training positives [U, I]."""
        num_items = train.shape[1]
        needed = num_items**2 * _BYTES_PER_ENTRY
        if needed > MAX_MEMORY:
            raise BaselineError(
                f"EASE is left out: dense matrices over {num_items:,} items need "
                f"{needed / 2**30:,.0f} GiB (limit: {MAX_MEMORY / 2**30:.0f} GiB)"
            )
        gram = csr_array(train.T @ row_normalised(train, self.user_damping)).astype(np.float64)
        gram_II = gram.toarray(order="F")
        gram_II[np.diag_indices(num_items)] += self.penalty
        return _without_self(_lower_inverse(gram_II))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecencyEASE:
    """EASE that is asked about weighted histories: each item counts (1 + age)^-power (ours).

    Not a published baseline: it tells how much of a lead is owed to time alone.
    """

    ease: EASE
    power: float

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] are the weighted histories times B."""
        if not dataset.train_histories.ordered:
            raise BaselineError(
                f"EASE with recency-weighted histories is left out: {dataset.name} has no time"
            )
        weight_II = self.ease.weights(dataset.train)
        history_UI = dataset.train_histories.recency_weighted(self.power)
        return lambda users: np.asarray(history_UI[users] @ weight_II, dtype=np.float32)


def _lower_inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lower triangle of a positive definite matrix's inverse, in its own memory."""
    factor, fault = lapack.dpotrf(matrix, lower=1, overwrite_a=1)
    if fault == 0:
        factor, fault = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if fault != 0:
        raise BaselineError("EASE cannot invert its matrix: choose a larger penalty")
    inverse: NDArray[np.float64] = factor
    return inverse


def _without_self(lower_II: NDArray[np.float64]) -> NDArray[np.float32]:
    """I - P / diag(P) of a symmetric P whose lower triangle is given."""
    num_items = len(lower_II)
    diagonal_I = lower_II.diagonal()
    weight_II = np.empty((num_items, num_items), dtype=np.float32)
    for start in range(0, num_items, _BLOCK):
        rows = slice(start, start + _BLOCK)
        symmetric_BI = np.tril(lower_II[rows], start)
        symmetric_BI += np.triu(lower_II[:, rows].T, start + 1)
        weight_II[rows] = symmetric_BI / -diagonal_I
    np.fill_diagonal(weight_II, 0.0)
    return weight_II
