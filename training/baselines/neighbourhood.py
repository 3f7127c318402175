"""Item-item neighbourhoods: the largest entries of a sparse product, and the scores they give.

Knows matrices; knows nothing about what similarity means. The product is made a block of rows at a
time, so memory grows with items * neighbours and never with items squared.

Letters: U users, I items, N non-zero entries of a block.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from training.evaluation import ScoreFunction

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
