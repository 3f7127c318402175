"""Baselines in closed form: popularity, and matrices that multiply a user's training items.

ItemKNN keeps each item's nearest ones; EASE keeps a dense matrix. Popularity, which has no matrix,
is the simplest of all. `training.experiments.baselines` has more of them, and tunes them.

Letters: B users of a block, U users, I items, N non-zero entries of a block.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_array, diags_array

from training.data.dataset import Dataset
from training.evaluate.protocol import Evaluation, ScoreFunction, evaluate, popularity_scores

MAX_MEMORY = 16 * 2**30
"""Bytes; a baseline that is known to need more is left out."""
_BLOCK = 512
"""Rows of a product or of a matrix that are made at once."""
_BYTES_PER_ENTRY = 8 + 4
"""Of EASE's matrix: float64 while it is inverted, beside the float32 weights made of it."""
Reweighing = Callable[
    [NDArray[np.integer], NDArray[np.integer], NDArray[np.float32]], NDArray[np.floating]
]
"""Rows, columns and values [N] of entries to their new values."""


class BaselineError(ValueError):
    """A baseline cannot be fitted to this data set; the message says why."""


class ClosedForm(ABC):
    """Settings of a baseline that is computed, without randomness or epochs."""

    @abstractmethod
    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] from the training part; BaselineError if that is not possible."""


@dataclass(frozen=True, slots=True)
class Popularity(ClosedForm):
    """The items with the most training positives, for everybody."""

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] are the items' counts."""
        return popularity_scores(dataset.train)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemKNN(ClosedForm):
    """Sum of similarities between an item and the user's items, of which each keeps its nearest.

    sim(i, j) = c_ij / (sqrt(c_ii c_jj) + shrinkage), where c_ij counts the users who have both,
    each weighed by degree^-user_damping (ours; 0 is the plain cosine).
    """

    neighbours: int
    shrinkage: float
    user_damping: float

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] are sums over each user's training items."""
        return neighbourhood_scores(dataset.train, self.similarity(dataset.train))

    def similarity(self, train: csr_array) -> csr_array:
        """sim(i, j) [I, I] of training positives [U, I], each row's nearest items only."""
        weighted_UI = row_normalised(train, self.user_damping)
        norm_I = np.sqrt(np.asarray(weighted_UI.sum(axis=0)).ravel())

        def cosine(
            row_N: NDArray[np.integer],
            column_N: NDArray[np.integer],
            common_N: NDArray[np.float32],
        ) -> NDArray[np.floating]:
            norm_N: NDArray[np.floating] = norm_I[row_N] * norm_I[column_N]
            return common_N / (norm_N + self.shrinkage)

        return nearest(csr_array(train.T), weighted_UI, self.neighbours, cosine)


@dataclass(frozen=True, slots=True, kw_only=True)
class EASE(ClosedForm):
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


def nearest(
    left: csr_array, right: csr_array, neighbours: int, reweigh: Reweighing | None = None
) -> csr_array:
    """Each row's largest entries of left @ right off the diagonal; of equal ones the first columns.

    The product is made a block of rows at a time, so memory grows with items * neighbours.

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


REFERENCES = {
    "popularity": Popularity(),
    "ItemKNN": ItemKNN(neighbours=50, shrinkage=10.0, user_damping=0.5),
    "EASE": EASE(penalty=100.0, user_damping=0.0),
}
"""Every model is told beside them, with the settings that benchmarks try first."""
MOST_PAIRS, MOST_ITEMS = 300_000_000, 5_000
"""Pairs of a user's items, over all users, that ItemKNN counts in seconds; items of a matrix that
EASE inverts in seconds. Where there are more, a model is told without them."""


def references(dataset: Dataset, parts: Mapping[str, csr_array]) -> dict[str, Evaluation]:
    """What baselines reach that take seconds, as `baseline/<name>/<part>`.

    Args:
        dataset: its training part is what they are made of.
        parts: the positives to find [U, I], by name.
    """
    pairs = int((np.diff(dataset.train.indptr).astype(np.int64) ** 2).sum())
    affordable = {"ItemKNN": pairs <= MOST_PAIRS, "EASE": dataset.train.shape[1] <= MOST_ITEMS}
    found = {}
    for name, settings in REFERENCES.items():
        if affordable.get(name, True):
            score = settings.fit(dataset)
            for part, target in parts.items():
                found[f"baseline/{name}/{part}"] = evaluate(score, dataset, target)
    return found
