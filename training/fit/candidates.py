"""Held-out quality of many weighted sums of the same terms, on a few hundred items per user.

A score is a weighted sum of terms: cosines, item-item scores, popularity. Trying weights ranks a
catalogue again and again. The best twenty items of any sensible weights are among the best of some
term, so only those are kept and ranked (ours).

Letters: U users, I items, B users of a block, P items of a pool, T terms, K length of the list.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from training.data.dataset import Dataset

Terms = Mapping[str, NDArray[np.float32]]
"""By name: values [B, I] for some users, or [I] for all."""

POOL = 100
"""Items that each term brings into a user's pool."""
_BLOCK_USERS = 256
_BLOCK_VALUES = 2**23
"""Of one term for the users of a block; 32 MB."""
_TOP = 20


@dataclass(frozen=True, slots=True)
class Candidates:
    """Terms of each user's pool, and which of its items are held-out positives."""

    users: NDArray[np.int64]
    """Rows of the users [U]."""
    item_UP: Tensor
    """Rows of the items in each user's pool."""
    terms: dict[str, Tensor]
    """[U, P] by name."""
    hit_UP: Tensor
    """1 for a held-out positive, once in a pool; else 0."""
    ideal_U: Tensor
    """The largest DCG@20 that a user's held-out positives allow."""
    closed_UP: Tensor
    """Minus infinity where an item was seen, or stands in the pool already; else 0."""

    def ndcg20(self, weights: Mapping[str, float]) -> float:
        """Mean NDCG@20 of the items ranked by a weighted sum of terms."""
        score_UP = self.closed_UP.clone()
        for name, weight in weights.items():
            if weight != 0:
                score_UP.add_(self.terms[name], alpha=weight)
        best_UK = score_UP.topk(min(_TOP, score_UP.shape[1]), dim=1).indices
        gain_K = 1 / torch.arange(2, best_UK.shape[1] + 2).log2()
        return float(((self.hit_UP.gather(1, best_UK) * gain_K).sum(1) / self.ideal_U).mean())


def gather(
    dataset: Dataset,
    target: csr_array,
    terms_of: Callable[[NDArray[np.int64]], Terms],
) -> Candidates:
    """The pools of all users with positives in `target` [U, I].

    Args:
        dataset: its training positives are left out.
        target: the positives to find.
        terms_of: called with at most 256 user rows at a time.
    """
    users = np.flatnonzero(np.diff(target.indptr))
    step = max(1, min(_BLOCK_USERS, _BLOCK_VALUES // len(dataset.item_ids)))
    blocks = [users[start : start + step] for start in range(0, max(1, len(users)), step)]
    parts = [_block(dataset, target, user_B, terms_of(user_B)) for user_B in blocks]
    item, terms, hit, closed = zip(*parts, strict=True)
    gain_K = 1 / np.log2(np.arange(2, _TOP + 2))
    ideal_K = np.concatenate([[0.0], np.cumsum(gain_K)])
    relevant_U = np.minimum(np.diff(target.indptr)[users], _TOP)
    return Candidates(
        users=users,
        item_UP=torch.cat(item),
        terms={name: torch.cat([part[name] for part in terms]) for name in terms[0]},
        hit_UP=torch.cat(hit),
        ideal_U=torch.from_numpy(ideal_K[relevant_U]).float(),
        closed_UP=torch.cat(closed),
    )


def _block(
    dataset: Dataset, target: csr_array, user_B: NDArray[np.int64], terms: Terms
) -> tuple[Tensor, dict[str, Tensor], Tensor, Tensor]:
    shape = (len(user_B), len(dataset.item_ids))
    term_TBI = {name: torch.from_numpy(x).expand(shape).contiguous() for name, x in terms.items()}
    seen_B, seen_I = (torch.from_numpy(x) for x in dataset.train[user_B].nonzero())
    count = min(POOL, shape[1])
    pools = []
    for x_BI in term_TBI.values():
        unseen_BI = x_BI.clone()
        unseen_BI[seen_B, seen_I] = -torch.inf
        pools.append(unseen_BI.topk(count, dim=1).indices)
    pool_BP = torch.cat(pools, dim=1).sort(dim=1).values
    seen_BI = torch.zeros(shape, dtype=torch.bool)
    seen_BI[seen_B, seen_I] = True
    closed_BP = seen_BI.gather(1, pool_BP)
    closed_BP[:, 1:] |= pool_BP[:, 1:] == pool_BP[:, :-1]
    target_BI = torch.from_numpy(target[user_B].toarray())
    return (
        pool_BP,
        {name: x_BI.gather(1, pool_BP) for name, x_BI in term_TBI.items()},
        target_BI.gather(1, pool_BP).float().masked_fill_(closed_BP, 0),
        torch.where(closed_BP, -torch.inf, 0.0),
    )
