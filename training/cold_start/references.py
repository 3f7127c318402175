"""What needs no MAGNET and no interaction of a cold item: random, popularity, content neighbours.

Knows training positives and features; knows nothing about trained models. Letters: B users of a
block, U users, I items.
"""

from collections.abc import Iterable

import numpy as np
from scipy.sparse import csr_array

from training.evaluation import ScoreFunction
from training.graphs import content_neighbours
from training.modalities import ModalityFeatures

NEIGHBOURS = (10, 50, 200, 1000)
"""Sizes of a content neighbourhood among which validation chooses."""


def random_scores(num_items: int, seed: int) -> ScoreFunction:
    """Scores [B, I] without meaning."""
    rng = np.random.default_rng(seed)
    return lambda user_B: rng.random((len(user_B), num_items), dtype=np.float32)


def popularity(train: csr_array, seed: int) -> ScoreFunction:
    """Scores [B, I] by training positives, ties at random, so that ids tell nothing."""
    count_I = np.bincount(train.indices, minlength=train.shape[1]).astype(np.float32)
    rank_tie = random_scores(train.shape[1], seed)
    return lambda user_B: count_I + rank_tie(user_B)


def content_knn(
    weight_UI: csr_array, features: Iterable[ModalityFeatures], neighbours: int
) -> ScoreFunction:
    """Scores [B, I]: how much of an item's content neighbourhood stands in the user's history.

    The neighbourhood is the one of `content_neighbours`, summed over modalities (ours).

    Args:
        weight_UI: weighted histories.
        features: one set per modality, at least one.
        neighbours: of every item in every modality.
    """
    first_II, *others = (content_neighbours(x, neighbours) for x in features)
    heard_II = csr_array(sum(others, start=first_II).T)
    return lambda user_B: (weight_UI[user_B] @ heard_II).toarray()
