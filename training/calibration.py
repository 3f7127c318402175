"""How much popularity counts in the score, chosen on validation.

Knows trained models and ranked lists; knows nothing about training. Letters: U users, B users of a
block, I items, S shares, K length of the ranked list.
"""

import numpy as np
from scipy.sparse import csr_array

from training.dataset import Dataset
from training.evaluation import measure, top_items
from training.trained_model import TrainedModel

SHARES = (*(eighth / 8 for eighth in range(17)), 2.5, 3.0, 4.0)
"""Multiples of the learnt popularity weight that are compared."""
TOLERANCE = 0.01
"""Relative loss of NDCG@20 that is taken for less popularity: its noise is larger than that."""
_BLOCK_USERS = 512
_TOP = 20


def popularity_share(model: TrainedModel, dataset: Dataset, target: csr_array) -> float:
    """The smallest of `SHARES` whose NDCG@20 on some held-out positives is about the best (ours).

    Negatives are drawn by popularity, which takes popularity out of the scores (logit adjustment,
    arXiv:2007.07314, section 4); how much of it belongs back depends on the data: on how
    concentrated choices are, and on whether what was popular stays so.

    Args:
        model: scores without regard to the result.
        dataset: its training positives are masked.
        target: positives to find [U, I].
    """
    users = np.flatnonzero(np.diff(target.indptr))
    bias_I = model.magnet.item_bias().detach().cpu().numpy()
    top_SUK = np.empty((len(SHARES), len(users), min(_TOP, len(bias_I))), dtype=np.int64)
    for start in range(0, len(users), _BLOCK_USERS):
        user_B = users[start : start + _BLOCK_USERS]
        score_BI = model.score(user_B)
        score_BI[dataset.train[user_B].nonzero()] = -np.inf
        for share, top_UK in zip(SHARES, top_SUK, strict=True):
            shifted_BI = np.asarray(score_BI + (share - 1) * bias_I, dtype=np.float32)
            top_UK[start : start + len(user_B)] = top_items(shifted_BI, top_UK.shape[1])
    ndcg_S = np.array(
        [measure(top_UK, dataset, target, ks=(_TOP,)).metrics["ndcg@20"] for top_UK in top_SUK]
    )
    return SHARES[int(np.argmax(ndcg_S >= (1 - TOLERANCE) * ndcg_S.max()))]
