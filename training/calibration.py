"""How much popularity counts in the score, chosen on validation.

Knows trained models and ranked lists; knows nothing about training. Letters: U users, B users of a
block, I items, W weights, K length of the ranked list.
"""

import numpy as np
from scipy.sparse import csr_array

from training.dataset import Dataset
from training.evaluation import measure, top_items
from training.trained_model import TrainedModel

WEIGHTS = tuple(0.75 * (step / 24) ** 2 for step in range(25))
"""Popularity weights that are compared, closer where they are small; best ones on real data lie
between 0.02 and 0.25 (docs/research-log.md)."""
TOLERANCE = 0.01
"""Relative loss of NDCG@20 that is taken for less popularity: its noise is larger than that."""
_BLOCK_USERS = 512
_TOP = 20


def popularity_weight(model: TrainedModel, dataset: Dataset, target: csr_array) -> float:
    """The smallest of `WEIGHTS` whose NDCG@20 on some held-out positives is about the best (ours).

    Negatives are drawn by popularity, which takes popularity out of the scores (logit adjustment,
    arXiv:2007.07314, section 4); how much of it belongs back depends on the data: on how
    concentrated choices are, and on whether what was popular stays so.

    Args:
        model: scores, with whatever weight it has learnt, without regard to the result.
        dataset: its training positives are masked.
        target: positives to find [U, I].
    """
    users = np.flatnonzero(np.diff(target.indptr))
    magnet = model.magnet
    learnt = magnet.popularity_weight.item()
    unit_I = (magnet.log_popularity_I / magnet.config.temperature).cpu().numpy()
    top_WUK = np.empty((len(WEIGHTS), len(users), min(_TOP, len(unit_I))), dtype=np.int64)
    for start in range(0, len(users), _BLOCK_USERS):
        user_B = users[start : start + _BLOCK_USERS]
        score_BI = model.score(user_B)
        score_BI[dataset.train[user_B].nonzero()] = -np.inf
        for weight, top_UK in zip(WEIGHTS, top_WUK, strict=True):
            shifted_BI = np.asarray(score_BI + (weight - learnt) * unit_I, dtype=np.float32)
            top_UK[start : start + len(user_B)] = top_items(shifted_BI, top_UK.shape[1])
    ndcg_W = np.array(
        [measure(top_UK, dataset, target, ks=(_TOP,)).metrics["ndcg@20"] for top_UK in top_WUK]
    )
    return WEIGHTS[int(np.argmax(ndcg_W >= (1 - TOLERANCE) * ndcg_W.max()))]
