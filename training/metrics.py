"""Ranking metrics per user, catalogue coverage, and the paired bootstrap.

Knows ranked hits; knows nothing about models, data sets or what is masked.

Letters: B users of a block, K length of the ranked list, U users, S bootstrap samples.
"""

import numpy as np
from numpy.typing import NDArray


def recall_at_k(
    hit_BK: NDArray[np.bool_], num_relevant_B: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """Relevant items among the first k over all relevant items; NaN for a user who has none."""
    hits_B = hit_BK[:, :k].sum(axis=1)
    return _ratio(hits_B, num_relevant_B)


def ndcg_at_k(
    hit_BK: NDArray[np.bool_], num_relevant_B: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """DCG@k = sum of 1 / log2(rank + 1) over hits, over that of min(k, relevant) hits in a row.

    NaN for a user who has no relevant item.
    """
    gain_K = 1.0 / np.log2(np.arange(2, k + 2))
    ideal_K = np.concatenate([[0.0], np.cumsum(gain_K)])
    hit_Bk = hit_BK[:, :k]
    dcg_B = hit_Bk @ gain_K[: hit_Bk.shape[1]]
    ideal_B = ideal_K[np.minimum(num_relevant_B, k)]
    return _ratio(dcg_B, ideal_B)


def _ratio(part_B: NDArray[np.number], whole_B: NDArray[np.number]) -> NDArray[np.float64]:
    ratio_B = np.full(len(part_B), np.nan)
    np.divide(part_B, whole_B, out=ratio_B, where=whole_B > 0)
    return ratio_B


def coverage(top_UK: NDArray[np.int64], num_items: int) -> float:
    """Share of the catalogue that stands in at least one user's list."""
    return len(np.unique(top_UK)) / num_items


def paired_bootstrap(
    a_U: NDArray[np.float64], b_U: NDArray[np.float64], seed: int, n: int = 2000
) -> tuple[float, float, float]:
    """Mean of a - b over the same users, and its 95 % percentile interval (mean, low, high).

    Users are drawn with replacement n times; NaN (a user who cannot be scored) must be left out
    by the caller.
    """
    difference_U = a_U - b_U
    if len(difference_U) == 0 or not np.isfinite(difference_U).all():
        raise ValueError("paired_bootstrap needs at least one pair and finite values only")
    rng = np.random.default_rng(seed)
    num = len(difference_U)
    mean_S = np.array([difference_U[rng.integers(0, num, num)].mean() for _ in range(n)])
    low, high = np.quantile(mean_S, [0.025, 0.975])
    return float(difference_U.mean()), float(low), float(high)
