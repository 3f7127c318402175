"""What graph filters share: the item graph made of common users, and its smoothest signals.

A graph filter takes a user's training items for a signal on this graph and scores items by the
signal's smooth part.

Letters: U users, I items, B users of a block, D singular vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from training.evaluate.closed_forms import MAX_MEMORY, BaselineError
from training.evaluate.protocol import ScoreFunction
from training.experiments.baselines.factors import symmetrically_normalised

_BLOCK = 64
"""Users filtered at once: fast because their signals stay in the processor's cache."""
_BYTES_PER_ENTRY = 3 * 4
"""Three float32 copies of the vectors, or of the matrix, are there while they are computed."""
_SMALLEST = 1e-3
"""A singular value below it (the largest is 1) may be a zero with rounding errors."""


@dataclass(frozen=True, slots=True)
class ItemGraph:
    """Items joined by common users: P = R'^T R', where R' = D_u^-1/2 R D_i^-1/2.

    P's eigenvalues lie between 0 and 1, and the eigenvectors near 1 vary least along edges. P
    itself is never made: [I, I] is too large.
    """

    train: csr_array
    """R [U, I]."""
    normalised_UI: csr_array
    """R'."""
    normalised_IU: csr_array

    @classmethod
    def of(cls, train: csr_array) -> "ItemGraph":
        """The graph of training positives [U, I]."""
        normalised_UI = symmetrically_normalised(train)
        return cls(train, normalised_UI, csr_array(normalised_UI.T))

    def signal(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """Training items as ones [I, B]."""
        return np.ascontiguousarray(self.train[users].toarray().T)

    def smooth(self, signal_IB: NDArray[np.float32]) -> NDArray[np.float32]:
        """P times a signal [I, B]."""
        return np.asarray(self.normalised_IU @ (self.normalised_UI @ signal_IB))

    def degree_power(self, exponent: float) -> NDArray[np.float32]:
        """Items' training positives raised to `exponent` [I, 1], zero where there are none."""
        degree_I1 = np.bincount(self.train.indices, minlength=self.train.shape[1])[:, None]
        power_I1 = np.maximum(degree_I1, 1).astype(np.float32) ** np.float32(exponent)
        return np.where(degree_I1 > 0, power_I1, np.float32(0))

    def singular_vectors(self, most: int) -> NDArray[np.float32]:
        """Right singular vectors V [I, D] of R' with the largest values, at most so many.

        Raises:
            BaselineError: they need too much memory.
        """
        num_users, num_items = self.train.shape
        few = 2 * most < min(num_users, num_items)
        entries = (num_users + num_items) * most if few else num_users * num_items
        if entries * _BYTES_PER_ENTRY > MAX_MEMORY:
            raise BaselineError(
                f"graph filters are left out: {most} singular vectors of {num_users:,} users and "
                f"{num_items:,} items need {entries * _BYTES_PER_ENTRY / 2**30:,.0f} GiB "
                f"(limit: {MAX_MEMORY / 2**30:.0f} GiB)"
            )
        if few:
            _, value_D, right_DI = svds(self.normalised_UI, k=most, rng=np.random.default_rng(0))
        else:
            _, value_D, right_DI = np.linalg.svd(self.normalised_UI.toarray(), full_matrices=False)
            value_D, right_DI = value_D[:most], right_DI[:most]
        return np.ascontiguousarray(right_DI[value_D > _SMALLEST].T)


@dataclass(frozen=True, slots=True)
class IdealLowPass:
    """D_i^beta V V^T D_i^-beta: a signal's smoothest part, as vectors of users and items."""

    user_UD: NDArray[np.float32]
    item_ID: NDArray[np.float32]

    @classmethod
    def of(cls, graph: ItemGraph, vectors: int, beta: float = 0.5) -> "IdealLowPass":
        """Of at most so many directions; BaselineError if they need too much memory."""
        vector_ID = graph.singular_vectors(vectors)
        return cls(
            np.asarray(graph.train @ (graph.degree_power(-beta) * vector_ID)),
            graph.degree_power(beta) * vector_ID,
        )

    def __call__(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """The smoothest part of the users' training items [I, B]."""
        return np.asarray(self.item_ID @ self.user_UD[users].T)


def blockwise(
    filtered: Callable[[NDArray[np.int64]], NDArray[np.float32]],
) -> ScoreFunction:
    """Scores [B, I] of any number of users, by a function that gives those of few [I, B]."""

    def score(users: NDArray[np.int64]) -> NDArray[np.float32]:
        blocks = (users[start : start + _BLOCK] for start in range(0, len(users), _BLOCK))
        return np.concatenate([np.ascontiguousarray(filtered(block).T) for block in blocks])

    return score
