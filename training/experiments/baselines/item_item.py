"""Closed forms that multiply a user's training items by an item-item matrix [I, I].

Beside those of `training.evaluate.closed_forms`: ItemKNN with popularity, and the random walks
P3alpha and RP3beta, which keep each item's nearest ones.

Letters: B users of a block, I items.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from training.data.dataset import Dataset
from training.evaluate.closed_forms import (
    EASE,
    BaselineError,
    ClosedForm,
    ItemKNN,
    Popularity,
    nearest,
    neighbourhood_scores,
    row_normalised,
)
from training.evaluate.protocol import ScoreFunction
from training.experiments.baselines.base import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemKNNResidual(ClosedForm):
    """Cosines to the user's items, standardised over each user's row and added to popularity.

    b(u, i) sums cosines of i and those of the user's items that are among the nearest of i; its
    z-score is the residual. Ref: BRIDGE (arXiv:2605.22073), Eq. 11 to 13. BRIDGE adds it to a
    trained model's scores, here the base is the z-score of log(1 + count) (ours). Its factor for
    the history's length is left out because the z-score cancels it.
    """

    weight: float
    """Weight of the residual; the base has 1."""
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
