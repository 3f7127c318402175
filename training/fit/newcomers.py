"""How much more popularity says of newcomers, of whom a few items are known (ours).

docs/adr/0029-popularity-says-more-of-newcomers.md says why, and what else was tried.

Letters: U users.
"""

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from training.data.dataset import Dataset
from training.fit.calibration import Fusion, HeldOut
from training.fit.trained_model import TrainedModel

KNOWN_ITEMS = (1, 3, 10)
"""Newcomers are measured by so many of their first items."""
CHOICES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Of `Magnet.newcomer_popularity`; more would leave nothing of what a newcomer has told."""
COST = 0.02
"""Relative loss of NDCG@20 accepted for less of it: the less popularity says, the more a list
answers to what a newcomer has just told."""
_MOST_USERS = 500


def for_newcomers(
    fusion: Fusion, model: TrainedModel, dataset: Dataset, target: csr_array
) -> Fusion:
    """The weights with the least `newcomers` that is nearly the best for them.

    A newcomer is a user of whom the model knows but some first items of the training history.

    Args:
        fusion: what has been chosen for known users.
        model: its head is that of `fusion`, with reliabilities of 1.
        dataset: its training positives are left out.
        target: the positives to find [U, I].
    """
    users = np.flatnonzero(np.diff(target.indptr))
    users = users[:: max(1, -(-len(users) // _MOST_USERS))]
    total, length_U = np.zeros(len(CHOICES)), dataset.train_histories.length_U
    for count in KNOWN_ITEMS:
        chosen = users[length_U[users] >= count]
        if not len(chosen):
            continue
        chosen_U = np.zeros(len(length_U), dtype=np.float32)
        chosen_U[chosen] = 1
        some = csr_array(target.multiply(chosen_U[:, None]))
        some.eliminate_zeros()
        first = dataset.train_histories.first(count).recency_weighted(model.recency_power)
        newcomers = replace(model, train_weight_UI=first)
        found = HeldOut(newcomers, dataset, some, user_part=False).routed(model.magnet)
        for place, choice in enumerate(CHOICES):
            popularity = fusion.popularity * (1 + choice / count)
            weights = replace(fusion, popularity=popularity).weights()
            total[place] += len(chosen) * found.ndcg20(weights)
    least = int(np.flatnonzero(total >= (1 - COST) * total.max())[0])
    return replace(fusion, newcomers=CHOICES[least])
