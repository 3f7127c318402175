"""Strong models without training: popularity, item kNN, the random walk RP3beta, EASE.

Knows positives only, nothing about content. A model is fitted to training positives; its settings
are chosen by validation positives; nothing here reads the test part.

Letters: B users of a block, I items.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_array, diags_array, vstack

from training.dataset import Dataset
from training.evaluation import ScoreFunction, evaluate, top_items

MAX_EASE_ITEMS = 20_000
"""EASE inverts a dense item-item matrix: 3.2 GB in float64 at this size, growing with its square,
and hours of work growing with its cube."""


_BLOCK = 512


class BaselineError(ValueError):
    """A baseline cannot be fitted to this data set; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Popularity:
    """Everyone gets the items with the most training positives."""

    def fit(self, train: csr_array) -> ScoreFunction:
        """Scores are the items' counts."""
        count_I = np.bincount(train.indices, minlength=train.shape[1]).astype(np.float32)
        return lambda users: np.tile(count_I, (len(users), 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemKNN:
    """Sum of similarities between an item and the user's items, of which each keeps its nearest.

    sim(i, j) = c_ij / (sqrt(c_ii c_jj) + shrinkage), where c_ij counts the users who have both,
    each weighed by degree^-user_damping (ours; 0 is the plain cosine).
    """

    neighbours: int
    shrinkage: float
    user_damping: float

    def fit(self, train: csr_array) -> ScoreFunction:
        """Scores are sums over the training items of each user."""
        common = csr_array(train.T @ _row_normalised(train, self.user_damping))
        norm_I = np.sqrt(common.diagonal())
        row, column = common.nonzero()
        common.data = common.data / (norm_I[row] * norm_I[column] + self.shrinkage)
        return _item_scores(train, _nearest(common, self.neighbours))


@dataclass(frozen=True, slots=True, kw_only=True)
class RP3beta:
    """A random walk user - item - user - item that is drawn less to popular items.

    Transition probabilities are raised to `alpha`, the result is divided by the target's degree
    raised to `beta`. Ref: Paudel et al., ACM TiiS 7(1), 2016.
    """

    alpha: float
    beta: float
    neighbours: int

    def fit(self, train: csr_array) -> ScoreFunction:
        """Scores are sums over the training items of each user."""
        to_item = _row_normalised(train, self.alpha)
        to_user = _row_normalised(csr_array(train.T), self.alpha)
        degree_I = np.bincount(train.indices, minlength=train.shape[1])
        damping_I = np.where(degree_I > 0, np.maximum(degree_I, 1.0) ** -self.beta, 0.0)
        walk = csr_array(to_user @ to_item @ diags_array(damping_I))
        return _item_scores(train, _nearest(walk, self.neighbours))


@dataclass(frozen=True, slots=True, kw_only=True)
class EASE:
    """The closed-form linear autoencoder without self-similarity.

    B = I - P / diag(P), P = (X^T X + penalty I)^-1. Ref: Steck, WWW 2019. Rows of X may be weighed
    down by degree^-user_damping (ours), which helps where few users hold most interactions.
    """

    penalty: float
    user_damping: float

    def fit(self, train: csr_array) -> ScoreFunction:
        """Scores are X B; BaselineError above MAX_EASE_ITEMS items."""
        weight_II = self.weights(train)
        return lambda users: np.asarray(train[users] @ weight_II, dtype=np.float32)

    def weights(self, train: csr_array) -> NDArray[np.float32]:
        """B [I, I]."""
        num_items = train.shape[1]
        if num_items > MAX_EASE_ITEMS:
            raise BaselineError(
                f"EASE is left out: {num_items:,} items need a dense matrix of "
                f"{num_items**2 * 8 / 2**30:,.0f} GiB (limit: {MAX_EASE_ITEMS:,} items)"
            )
        gram_II = (
            (train.T @ _row_normalised(train, self.user_damping))
            .toarray(order="F")
            .astype(np.float64)
        )
        gram_II[np.diag_indices(num_items)] += self.penalty
        inverse_II = _inverse(gram_II)
        weight_II = (inverse_II / -np.diag(inverse_II)).astype(np.float32)
        np.fill_diagonal(weight_II, 0.0)
        return weight_II


@dataclass(frozen=True, slots=True, kw_only=True)
class RecencyEASE:
    """EASE that is asked about weighted histories: each item counts (1 + age)^-power (ours).

    Not a published baseline: it tells how much of a lead is owed to time alone.
    """

    ease: EASE
    power: float


Baseline = Popularity | ItemKNN | RP3beta | EASE | RecencyEASE

GRIDS: dict[str, list[Baseline]] = {
    "popularity": [Popularity()],
    "item_knn": [
        ItemKNN(neighbours=n, shrinkage=s, user_damping=d)
        for n, s, d in product((5, 10, 20, 50, 200), (0.0, 10.0, 100.0), (0.0, 0.5))
    ],
    "rp3beta": [
        RP3beta(alpha=a, beta=b, neighbours=n)
        for a, b, n in product(
            (0.2, 0.4, 0.6, 0.8, 1.0), (0.0, 0.2, 0.4, 0.6, 0.7, 0.8), (100, 400)
        )
    ],
    "ease": [
        EASE(penalty=p, user_damping=d)
        for p, d in product((10.0, 30.0, 100.0, 200.0, 500.0), (0.0, 0.5))
    ],
    "ease_recency": [
        RecencyEASE(ease=EASE(penalty=p, user_damping=d), power=a)
        for p, d, a in product((100.0, 200.0, 500.0), (0.0, 0.5), (0.25, 0.5, 0.75, 1.0))
    ],
}
"""Settings among which validation chooses."""


def fit(baseline: Baseline, dataset: Dataset) -> ScoreFunction:
    """Fit to the training part."""
    if not isinstance(baseline, RecencyEASE):
        return baseline.fit(dataset.train)
    weight_II = baseline.ease.weights(dataset.train)
    history_UI = dataset.train_histories.recency_weighted(baseline.power)
    return lambda users: np.asarray(history_UI[users] @ weight_II, dtype=np.float32)


def tune(
    candidates: Sequence[Baseline], dataset: Dataset, metric: str = "ndcg@20"
) -> tuple[Baseline, ScoreFunction]:
    """The candidate that ranks validation positives best, and its fitted scorer.

    Raises:
        BaselineError: the data set is too large for this kind of model.
    """
    best: tuple[float, Baseline, ScoreFunction] | None = None
    for candidate in candidates:
        score = fit(candidate, dataset)
        value = evaluate(score, dataset, dataset.valid).metrics[metric]
        if best is None or value > best[0]:
            best = value, candidate, score
    assert best is not None
    return best[1], best[2]


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of a symmetric positive definite matrix, in its own memory."""
    factor, fault = lapack.dpotrf(matrix, lower=1, overwrite_a=1)
    if fault == 0:
        factor, fault = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if fault != 0:
        raise BaselineError("EASE cannot invert its matrix: choose a larger penalty")
    lower: NDArray[np.float64] = np.tril(factor)
    return lower + np.tril(lower, -1).T


def _row_normalised(matrix: csr_array, exponent: float) -> csr_array:
    degree = np.diff(matrix.indptr)
    probability = np.maximum(degree, 1).astype(np.float32) ** np.float32(-exponent)
    return csr_array(diags_array(probability) @ matrix)


def _nearest(similarity: csr_array, neighbours: int) -> csr_array:
    """Each row's largest entries off the diagonal; of equal ones the first columns."""
    num_items = similarity.shape[0]
    rows = np.arange(num_items)
    kept: list[csr_array] = []
    for block in np.split(rows, range(_BLOCK, num_items, _BLOCK)):
        value_BI = similarity[block].toarray().astype(np.float32)
        value_BI[np.arange(len(block)), block] = 0.0
        top_BK = top_items(value_BI, min(neighbours, num_items))
        nearest = csr_array(
            (
                np.take_along_axis(value_BI, top_BK, axis=1).ravel(),
                top_BK.ravel(),
                np.arange(len(block) + 1) * top_BK.shape[1],
            ),
            shape=value_BI.shape,
        )
        nearest.eliminate_zeros()
        kept.append(nearest)
    return csr_array(vstack(kept))


def _item_scores(train: csr_array, similarity: csr_array) -> ScoreFunction:
    return lambda users: (train[users] @ similarity).toarray()
