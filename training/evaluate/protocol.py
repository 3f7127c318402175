"""The protocol: full ranking over all items, training items masked, averaged over users.

With its metrics: recall, NDCG, catalogue coverage, and the paired bootstrap of two models.

Letters: B users of a block, I items, K length of the ranked list, U users, N candidates,
P positives, S bootstrap samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from training.data.dataset import Dataset


def recall_at_k(
    hit_BK: NDArray[np.bool_], num_relevant_B: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """Relevant items among the first k over all relevant items; NaN for a user who has none."""
    return _ratio(hit_BK[:, :k].sum(axis=1), num_relevant_B)


def ndcg_at_k(
    hit_BK: NDArray[np.bool_], num_relevant_B: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """DCG@k = sum of 1 / log2(rank + 1) over hits, over that of min(k, relevant) hits in a row.

    NaN for a user who has no relevant item.
    """
    gain_K = 1.0 / np.log2(np.arange(2, k + 2))
    ideal_K = np.concatenate([[0.0], np.cumsum(gain_K)])
    hit_Bk = hit_BK[:, :k]
    return _ratio(hit_Bk @ gain_K[: hit_Bk.shape[1]], ideal_K[np.minimum(num_relevant_B, k)])


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

    Users are drawn with replacement n times. The caller leaves out users whose value is NaN.
    """
    difference_U = a_U - b_U
    if len(difference_U) == 0 or not np.isfinite(difference_U).all():
        raise ValueError("paired_bootstrap needs at least one pair and finite values only")
    rng = np.random.default_rng(seed)
    num = len(difference_U)
    mean_S = np.array([difference_U[rng.integers(0, num, num)].mean() for _ in range(n)])
    low, high = np.quantile(mean_S, [0.025, 0.975])
    return float(difference_U.mean()), float(low), float(high)


ScoreFunction = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""User rows [B] to scores [B, I], higher is better."""


def popularity_scores(train: csr_array) -> ScoreFunction:
    """The reference that every model must beat: items by their training positives [U, I]."""
    count_I = np.bincount(train.indices, minlength=train.shape[1]).astype(np.float32)
    return lambda user_B: np.tile(count_I, (len(user_B), 1))


TAIL_POSITIVES = 5
"""Items with at most so many training positives, but at least one, are tail items."""
SPARSE_POSITIVES = 2
"""Users with at most so many training positives are sparse."""
ITEM_GROUPS = ("cold items", "tail items", "head items")
USER_GROUPS = ("sparse users", "other users")
VALIDATION_MASKED = "validation masked"
"""All users, their lists without their validation items: where time splits the data, they had these
before what is tested, and no service lists what a user has had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What one scorer reached on one target."""

    metrics: dict[str, float]
    """`recall@20`, `ndcg@20`, ... averaged over users with target items, and `coverage@K`."""
    groups: dict[str, dict[str, float]]
    """The same per group, with `users` (how many are averaged); a group without users is absent.

    In an item group each user is scored on their target items of that group.
    """
    users: NDArray[np.int64]
    """Rows of the users that are averaged [U], ascending."""
    top_UK: NDArray[np.int64]
    """Their ranked lists, best item first."""
    per_user: dict[str, NDArray[np.float64]]
    """Each metric's values [U] in the order of `users`."""
    group_per_user: dict[str, dict[str, NDArray[np.float64]]]
    """The same per group; NaN for a user who is not in the group or has no target item in it."""
    masked_top_UK: NDArray[np.int64] | None = None
    """The lists of the group `VALIDATION_MASKED`, if it was asked for."""

    def flat(self) -> dict[str, float]:
        """All metrics by one name each, as in a manifest: `ndcg@20`, `tail items/ndcg@20`."""
        grouped = {
            f"{x}/{name}": y for x, found in self.groups.items() for name, y in found.items()
        }
        return self.metrics | grouped


def unflattened(flat: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """What `Evaluation.flat` has put into one, by group; overall metrics under an empty name."""
    groups: dict[str, dict[str, float]] = {}
    for name, value in flat.items():
        group, _, metric = name.rpartition("/")
        groups.setdefault(group, {})[metric] = value
    return groups


def item_groups(train: csr_array) -> NDArray[np.int64]:
    """Index into ITEM_GROUPS of each item, by its number of training positives."""
    count_I = np.bincount(train.indices, minlength=train.shape[1])
    return np.where(count_I == 0, 0, np.where(count_I <= TAIL_POSITIVES, 1, 2))


def user_groups(train: csr_array) -> NDArray[np.int64]:
    """Index into USER_GROUPS of each user, by their number of training positives."""
    return np.where(np.diff(train.indptr) <= SPARSE_POSITIVES, 0, 1)


def evaluate(
    score: ScoreFunction,
    dataset: Dataset,
    target: csr_array,
    ks: Sequence[int] = (10, 20),
    block: int = 512,
    mask_validation: bool = False,
) -> Evaluation:
    """Rank every item for each user with target items and compare with those items.

    Equal scores are ranked by item row, so the result depends on nothing but the scores.

    Args:
        score: called with at most `block` user rows at a time; may not return NaN.
        dataset: its `train` is masked and makes the groups.
        target: the positives to find [U, I], `dataset.valid` or `dataset.test`.
        ks: lengths of the list at which metrics are taken.
        block: users of a call.
        mask_validation: measure the group `VALIDATION_MASKED` too.
    """
    users = np.flatnonzero(np.diff(target.indptr))
    top_UK = np.empty((len(users), min(max(ks), target.shape[1])), dtype=np.int64)
    masked_top_UK = np.empty_like(top_UK) if mask_validation else None
    for start in range(0, len(users), block):
        user_B = users[start : start + block]
        score_BI = scores_to_rank(score, dataset, user_B)
        top_UK[start : start + block] = top_items(score_BI, top_UK.shape[1])
        if masked_top_UK is not None:
            score_BI[dataset.valid[user_B].nonzero()] = -np.inf
            masked_top_UK[start : start + block] = top_items(score_BI, top_UK.shape[1])
    return measure(top_UK, dataset, target, ks, masked_top_UK)


def scores_to_rank(
    score: ScoreFunction, dataset: Dataset, user_B: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Scores of users' items as `evaluate` ranks them [B, I]: training items are last."""
    score_BI = np.array(score(user_B), dtype=np.float32)
    if np.isnan(score_BI).any():
        raise ValueError("the scores hold NaN: this model cannot be evaluated")
    score_BI[dataset.train[user_B].nonzero()] = -np.inf
    return score_BI


def measure(
    top_UK: NDArray[np.int64],
    dataset: Dataset,
    target: csr_array,
    ks: Sequence[int] = (10, 20),
    masked_top_UK: NDArray[np.int64] | None = None,
) -> Evaluation:
    """What ranked lists reach: max(ks) items, best first, of each user with target items.

    Without `masked_top_UK` there is no group `VALIDATION_MASKED`; see `evaluate` for the rest.
    """
    users = np.flatnonzero(np.diff(target.indptr))
    hit_UK = _hits(top_UK, users, target)
    relevant_U = np.diff(target.indptr)[users]
    per_user = _per_user(hit_UK, relevant_U, ks)
    group_per_user: dict[str, dict[str, NDArray[np.float64]]] = {}
    item_group_I = item_groups(dataset.train)
    for index, name in enumerate(ITEM_GROUPS):
        in_group = item_group_I == index
        group_relevant_U = np.asarray(target @ in_group.astype(np.float32))[users].astype(np.int64)
        group_per_user[name] = _per_user(hit_UK & in_group[top_UK], group_relevant_U, ks)
    user_group_U = user_groups(dataset.train)[users]
    for index, name in enumerate(USER_GROUPS):
        member_U = user_group_U == index
        group_per_user[name] = {
            key: np.where(member_U, value_U, np.nan) for key, value_U in per_user.items()
        }
    if masked_top_UK is not None:
        group_per_user[VALIDATION_MASKED] = _per_user(
            _hits(masked_top_UK, users, target), relevant_U, ks
        )
    groups = {name: _mean(values) for name, values in group_per_user.items()}
    metrics = _mean(per_user) | {f"coverage@{max(ks)}": coverage(top_UK, target.shape[1])}
    metrics.pop("users", None)
    return Evaluation(
        metrics=metrics,
        groups={name: values for name, values in groups.items() if values},
        users=users,
        top_UK=top_UK,
        per_user=per_user,
        group_per_user=group_per_user,
        masked_top_UK=masked_top_UK,
    )


def some_users(target: csr_array, most: int) -> csr_array:
    """The positives [U, I] of at most so many users, by a fixed seed; other rows are empty."""
    users = np.flatnonzero(np.diff(target.indptr))
    if len(users) <= most:
        return target
    return only_users(target, np.random.default_rng(0).choice(users, most, replace=False))


def only_users(target: csr_array, users: NDArray[np.int64]) -> csr_array:
    """The positives [U, I] of these users; other rows are empty."""
    kept_U = np.zeros(target.shape[0], dtype=np.float32)
    kept_U[users] = 1
    kept = csr_array(diags_array(kept_U) @ target)
    kept.eliminate_zeros()
    return kept


def top_items(score_BI: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The k best items of each row, best first, equal scores by ascending item [B, K]."""
    num_items = score_BI.shape[1]
    if k >= num_items:
        return np.argsort(-score_BI, axis=1, kind="stable")
    # torch finds the k-th best ten times as fast as numpy where most scores are equal.
    kth_B1 = torch.from_numpy(score_BI).topk(k, sorted=False).values.amin(1, keepdim=True).numpy()
    above_N, above_item_N = np.nonzero(score_BI > kth_B1)
    equal_N, equal_item_N = np.nonzero(score_BI == kth_B1)
    # Of the items that tie with the k-th, keep the first: as many as there are places left.
    places_B = k - np.bincount(above_N, minlength=len(score_BI))
    rank_N = np.arange(len(equal_N)) - np.searchsorted(equal_N, np.arange(len(score_BI)))[equal_N]
    kept_N = rank_N < places_B[equal_N]
    row_N = np.concatenate([above_N, equal_N[kept_N]])
    item_N = np.concatenate([above_item_N, equal_item_N[kept_N]])
    order_N = np.lexsort((item_N, -score_BI[row_N, item_N], row_N))
    return item_N[order_N].reshape(-1, k)


def _hits(
    top_UK: NDArray[np.int64], users: NDArray[np.int64], target: csr_array
) -> NDArray[np.bool_]:
    """Which places of the lists hold a target item."""
    user_P, item_P = (axis.astype(np.int64) for axis in target.nonzero())
    num_items = target.shape[1]
    return np.isin(users[:, None] * num_items + top_UK, user_P * num_items + item_P)


def _per_user(
    hit_UK: NDArray[np.bool_], relevant_U: NDArray[np.int64], ks: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    recall = {f"recall@{k}": recall_at_k(hit_UK, relevant_U, k) for k in ks}
    return recall | {f"ndcg@{k}": ndcg_at_k(hit_UK, relevant_U, k) for k in ks}


def _mean(per_user: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    """Averages over users that can be scored, and their number; empty if there is none."""
    scored_U = ~np.isnan(next(iter(per_user.values())))
    if not scored_U.any():
        return {}
    means = {key: float(values_U[scored_U].mean()) for key, values_U in per_user.items()}
    return {"users": float(scored_U.sum())} | means
