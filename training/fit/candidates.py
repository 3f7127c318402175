"""Held-out quality of many weighted sums of the same terms, on a few hundred items per user.

A score is a weighted sum of terms: cosines, item-item scores, popularity. Trying weights ranks a
catalogue again and again. The best twenty items of any sensible weights are among the best of some
term, so only those are kept and ranked (ours).

Letters: U users, I items, B users or hits of a block, P items of a pool, T terms, N hits,
X weights that are tried.
"""

from collections.abc import Callable, Mapping, Sequence
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
_BLOCK_VALUES = 2**20
"""Of one term for the users of a block; 4 MB."""
_BLOCK_LEADS = 2**18
"""Leads over positives that are computed at once; 1 MB, so that they stay in the cache."""
_TOP = 20


@dataclass(frozen=True, slots=True)
class Candidates:
    """Terms of each user's pool, and which of its items are held-out positives.

    Users whose pools hold none are left out: no weights would find any.
    """

    users: NDArray[np.int64]
    """Rows of the users [U]."""
    num_users: int
    """How many have held-out positives."""
    item_UP: Tensor
    """Rows of the items in each user's pool."""
    terms: dict[str, Tensor]
    """[U, P] by name."""
    closed_UP: Tensor
    """Minus infinity where an item was seen, or stands in the pool already; else 0."""
    hit_2N: Tensor
    """Places in [U, P] of the held-out positives."""
    worth_N: Tensor
    """What each of them adds to NDCG@20 at the top: 1 over the largest DCG@20 of its user."""

    def ndcg20(self, weights: Mapping[str, float]) -> float:
        """Mean NDCG@20 of the items ranked by a weighted sum of terms; see `ndcg20_along`."""
        return float(self.ndcg20_along(weights, weights, [0.0])[0])

    def ndcg20_along(
        self, start: Mapping[str, float], end: Mapping[str, float], place_X: Sequence[float]
    ) -> NDArray[np.float64]:
        """Mean NDCG@20 [X] of the weights `start` (place 0), `end` (1) or between or beyond them.

        Only the ranks of held-out positives are counted, which costs less than the best twenty of
        every pool. Of equal scores theirs is the last, so that weights which tell nothing apart
        find nothing. Along a line a lead over a positive is a number plus place times another one.
        """
        start_UP = self._score(start, self.closed_UP)
        change = {name: end[name] - start[name] for name in start}
        change_UP = self._score(change, torch.zeros_like(self.closed_UP))
        rank_NX = torch.empty(len(self.worth_N), len(place_X))
        step = max(1, _BLOCK_LEADS // max(1, start_UP.shape[1]))
        for n in torch.arange(len(rank_NX)).split(step):
            user_B, hit_B = self.hit_2N[:, n]
            lead_BP, change_BP = (
                x_UP[user_B] - x_UP[user_B, hit_B].unsqueeze(1) for x_UP in (start_UP, change_UP)
            )
            for x, place in enumerate(place_X):
                rank_NX[n, x] = torch.add(lead_BP, change_BP, alpha=place).ge_(0).sum(dim=1)
        worth_N1 = self.worth_N.unsqueeze(1)
        gain_NX = torch.where(rank_NX <= _TOP, worth_N1 / (rank_NX + 1).log2(), 0)
        mean_X: NDArray[np.float64] = (gain_NX.sum(0) / self.num_users).double().numpy()
        return mean_X

    def _score(self, weights: Mapping[str, float], start_UP: Tensor) -> Tensor:
        score_UP = start_UP.clone()
        for name, weight in weights.items():
            if weight != 0:
                score_UP.add_(self.terms[name], alpha=weight)
        return score_UP


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
    user, item, terms, hit, closed = zip(*parts, strict=True)
    closed_UP = torch.cat(closed)
    longest = (~closed_UP).sum(dim=1).max() if len(closed_UP) else 0
    open_UP = closed_UP.int().argsort(dim=1, stable=True)[:, :longest]
    hit_2N = torch.cat(hit).gather(1, open_UP).nonzero().T
    gain_K = 1 / np.log2(np.arange(2, _TOP + 2))
    kept_U = np.concatenate(user)
    ideal_U = np.cumsum(gain_K)[np.minimum(np.diff(target.indptr)[kept_U], _TOP) - 1]
    return Candidates(
        users=kept_U,
        num_users=len(users),
        item_UP=torch.cat(item).gather(1, open_UP),
        terms={name: torch.cat([x[name] for x in terms]).gather(1, open_UP) for name in terms[0]},
        closed_UP=torch.where(closed_UP.gather(1, open_UP), -torch.inf, 0.0),
        hit_2N=hit_2N,
        worth_N=(1 / torch.from_numpy(ideal_U).float())[hit_2N[0]],
    )


def _block(
    dataset: Dataset, target: csr_array, user_B: NDArray[np.int64], terms: Terms
) -> tuple[NDArray[np.int64], Tensor, dict[str, Tensor], Tensor, Tensor]:
    """Of the users whose pools hold positives: rows, pools, terms, hits, what is closed."""
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
    target_BI = torch.from_numpy(target[user_B].toarray()) > 0
    hit_BP = target_BI.gather(1, pool_BP) & ~closed_BP
    kept_B = hit_BP.any(dim=1)
    return (
        user_B[kept_B.numpy()],
        pool_BP[kept_B],
        {name: x_BI.gather(1, pool_BP)[kept_B] for name, x_BI in term_TBI.items()},
        hit_BP[kept_B],
        closed_BP[kept_B],
    )
