"""ItemKNN: items that the same users have are similar.

Knows training positives only. Letters: B users of a block, U users, I items, N pairs of items.
"""

# FOLDED training/experiments/baselines/item_knn.py: Item-item neighbourhoods: the largest entries of a sparse product, and the scores they give.
#
#   Knows matrices; knows nothing about what similarity means. The product is made a block of rows at a
#   time, so memory grows with items * neighbours and never with items squared.
#
#   Letters: U users, I items, N non-zero entries of a block.
#

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from training.data.dataset import Dataset
from training.evaluate.protocol import ScoreFunction

_BLOCK = 512


Reweighing = Callable[
    [NDArray[np.integer], NDArray[np.integer], NDArray[np.float32]], NDArray[np.floating]
]
"""Rows, columns and values [N] of entries to their new values."""


def nearest(
    left: csr_array, right: csr_array, neighbours: int, reweigh: Reweighing | None = None
) -> csr_array:
    """Each row's largest entries of left @ right off the diagonal; of equal ones the first columns.

    Args:
        left: [I, U].
        right: [U, I].
        neighbours: entries to keep per row.
        reweigh: applied to the product's entries before the largest are chosen.
    """
    columns: list[NDArray[np.integer]] = []
    values: list[NDArray[np.float32]] = []
    for start in range(0, left.shape[0], _BLOCK):
        block = csr_array(left[start : start + _BLOCK] @ right)
        block.sort_indices()
        row_N = start + np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        value_N = block.data if reweigh is None else reweigh(row_N, block.indices, block.data)
        value_N = np.where(row_N == block.indices, 0.0, value_N).astype(np.float32)
        for first, last in zip(block.indptr, block.indptr[1:], strict=False):
            best = first + np.argsort(-value_N[first:last], kind="stable")[:neighbours]
            columns.append(block.indices[best])
            values.append(value_N[best])
    indptr = np.concatenate([[0], np.cumsum([len(column) for column in columns])])
    shape = (left.shape[0], right.shape[1])
    kept = csr_array((np.concatenate(values), np.concatenate(columns), indptr), shape=shape)
    kept.eliminate_zeros()
    return kept


def neighbourhood_scores(train: csr_array, similarity: csr_array) -> ScoreFunction:
    """Scores that sum the similarities of every item to the user's training items."""
    return lambda users: (train[users] @ similarity).toarray()


def row_normalised(matrix: csr_array, exponent: float) -> csr_array:
    """Rows of ones divided by their number raised to `exponent`."""
    degree = np.diff(matrix.indptr)
    weight = np.maximum(degree, 1).astype(np.float32) ** np.float32(-exponent)
    return csr_array(diags_array(weight) @ matrix)


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
