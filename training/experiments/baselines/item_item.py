"""Closed forms that multiply a user's training items by an item-item matrix [I, I].

ItemKNN, alone or beside popularity, and the random walks P3alpha and RP3beta keep each item's
nearest ones; EASE keeps a dense matrix. Popularity, which has no matrix, is the simplest of all.

Letters: B users of a block, U users, I items, N non-zero entries of a block.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_array, diags_array

from training.data.dataset import Dataset
from training.evaluate.protocol import ScoreFunction, popularity_scores
from training.experiments.baselines.base import MAX_MEMORY, BaselineError, ClosedForm, Entry

_BLOCK = 512
"""Rows of a product or of a matrix that are made at once."""
_BYTES_PER_ENTRY = 8 + 4
"""Of EASE's matrix: float64 while it is inverted, beside the float32 weights made of it."""
Reweighing = Callable[
    [NDArray[np.integer], NDArray[np.integer], NDArray[np.float32]], NDArray[np.floating]
]
"""Rows, columns and values [N] of entries to their new values."""


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
class ItemKNNResidual(ClosedForm):
    """Cosines to the user's items, standardised over each user's row and added to popularity.

    b(u, i) sums cosines of i and those of the user's items that are among the nearest of i; its
    z-score is the residual. Ref: BRIDGE (arXiv:2605.22073), Eq. 11 to 13. BRIDGE adds it to a
    trained model's scores, here the base is the z-score of log(1 + count) (ours). Its factor for
    the history's length is left out because the z-score cancels it.
    """

    weight: float
    """Of the residual; the base has 1."""
    neighbours: int = 1000

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] are weighted sums of two z-scores."""
        train = dataset.train
        knn = ItemKNN(neighbours=self.neighbours, shrinkage=0.0, user_damping=0.0)
        evidence = neighbourhood_scores(train, csr_array(knn.similarity(train).T))
        count_I = np.bincount(train.indices, minlength=train.shape[1]).astype(np.float32)
        base_1I = _standardised(np.log1p(count_I)[None])
        return lambda users: base_1I + self.weight * _standardised(evidence(users))


def _standardised(score_BI: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row minus its mean over its standard deviation; zeros where all are equal."""
    centred_BI = score_BI - score_BI.mean(axis=1, keepdims=True)
    deviation_B1 = np.maximum(centred_BI.std(axis=1, keepdims=True), 1e-6)
    return np.asarray(centred_BI / deviation_B1, dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class P3Alpha(ClosedForm):
    """Transition probabilities are raised to `alpha`; each item keeps its likeliest successors.

    Ref: Cooper et al., "Random walks in recommender systems", WWW 2014 Companion.
    """

    alpha: float
    neighbours: int

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] are sums over each user's training items."""
        return RP3Beta(alpha=self.alpha, beta=0.0, neighbours=self.neighbours).fit(dataset)


@dataclass(frozen=True, slots=True, kw_only=True)
class RP3Beta(ClosedForm):
    """P3alpha, divided by the target's degree raised to `beta`: less drawn to popular items.

    Ref: Paudel et al., ACM TiiS 7(1), 2016.
    """

    alpha: float
    beta: float
    neighbours: int

    def fit(self, dataset: Dataset) -> ScoreFunction:
        """Scores [B, I] are sums over each user's training items."""
        train = dataset.train
        to_item_UI = row_normalised(train, self.alpha)
        to_user_IU = row_normalised(csr_array(train.T), self.alpha)
        degree_I = np.bincount(train.indices, minlength=train.shape[1])
        damping_I = (np.maximum(degree_I, 1.0) ** -self.beta).astype(np.float32)
        damped_UI = csr_array(to_item_UI @ diags_array(damping_I))
        return neighbourhood_scores(train, nearest(to_user_IU, damped_UI, self.neighbours))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RecencyEASE(ClosedForm):
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


POPULARITY = Entry(label="popularity", grid=(Popularity(),))
ITEM_KNN = Entry(
    label="ItemKNN",
    grid=tuple(
        ItemKNN(neighbours=n, shrinkage=s, user_damping=d)
        for d, s, n in product((0.5, 0.0), (10.0, 0.0, 100.0), (50, 200, 20, 10, 5))
    ),
)
ITEM_KNN_RESIDUAL = Entry(
    label="ItemKNN-residual",
    grid=tuple(ItemKNNResidual(weight=weight) for weight in (0.4, 1.0, 0.2, 4.0, 10.0)),
)
P3ALPHA = Entry(
    label="P3alpha",
    grid=tuple(
        P3Alpha(alpha=a, neighbours=n) for n, a in product((400, 100), (0.8, 1.0, 0.6, 1.2, 0.4))
    ),
)
RP3BETA = Entry(
    label="RP3beta",
    grid=tuple(
        RP3Beta(alpha=a, beta=b, neighbours=n)
        for n, b, a in product((100, 400), (0.4, 0.6, 0.2, 0.7, 0.8), (0.6, 0.8, 0.4, 1.0, 0.2))
    ),
)
EASE_ENTRY = Entry(
    label="EASE",
    grid=tuple(
        EASE(penalty=p, user_damping=d)
        for p, d in product((100.0, 200.0, 30.0, 500.0, 10.0), (0.0, 0.5))
    ),
)
RECENCY_EASE = Entry(
    label="EASE, recency-weighted histories",
    grid=tuple(
        RecencyEASE(ease=EASE(penalty=p, user_damping=d), power=a)
        for p, d, a in product((200.0, 500.0), (0.0, 0.5), (0.5, 0.75, 0.25))
    ),
)
