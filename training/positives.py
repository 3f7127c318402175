"""Which interactions are positive, and which part each of them belongs to.

Knows ratings, labels and times; knows nothing about matrices or content.

Letters: N interactions of the file.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.interactions import Interactions
from training.splits import split_at_random, split_by_global_time, split_by_time
from training.tables import DataError

POSITIVE_SHARE = 0.8
"""Automatic threshold as a share of the scale's top: 4 on a scale of five stars."""
_BELOW_TOP = 0.99
"""Quantile of the ratings that is the scale's top. The largest would make 44 the threshold for five
stars and one 55, a slip of the keyboard; a scale whose top hardly anybody gives loses little."""

Split = Literal["label", "time", "global-time", "random"]


def choose_split(wanted: Literal["auto"] | Split, interactions: Interactions) -> Split:
    """What `auto` stands for here; DataError if the columns do not allow what is wanted."""
    if wanted == "auto":
        if interactions.label_N is not None:
            return "label"
        return "time" if interactions.timestamp_N is not None else "random"
    column = {"label": "x_label", "random": None}.get(wanted, "timestamp")
    given = {"x_label": interactions.label_N, "timestamp": interactions.timestamp_N}
    if column is not None and given[column] is None:
        raise DataError(
            interactions.path,
            f"has no {column!r} column, which a split by {wanted} needs",
            "add it or choose another split",
        )
    return wanted


def positives(
    interactions: Interactions, min_rating: float | None, split: Split, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """File rows of the positives, each user-item pair once, and the part of each row.

    Of a repeated pair the earliest counts, or with labels the one that trains rather than tests.
    """
    rows = liked_rows(interactions, min_rating)
    label_N, timestamp_N = interactions.label_N, interactions.timestamp_N
    order_N = label_N if split == "label" else timestamp_N
    if order_N is not None:
        rows = rows[np.argsort(order_N[rows], kind="stable")]
    pair = interactions.user_N[rows] * len(interactions.item_ids) + interactions.item_N[rows]
    rows = np.sort(rows[np.unique(pair, return_index=True)[1]])
    user_N = interactions.user_N[rows]
    if split == "random":
        return rows, split_at_random(user_N, seed)
    assert order_N is not None
    if split == "label":
        return rows, order_N[rows].astype(np.int64)
    if split == "global-time":
        return rows, split_by_global_time(order_N[rows].astype(np.float64))
    return rows, split_by_time(user_N, order_N[rows].astype(np.float64))


def scale_top(rating_N: NDArray[np.floating]) -> float:
    """The largest rating, not counting what at most a hundredth of the rows exceed it by."""
    return float(np.quantile(rating_N, _BELOW_TOP, method="higher"))


def liked_rows(interactions: Interactions, min_rating: float | None) -> NDArray[np.int64]:
    """File rows that are positive; DataError if there are none."""
    rating_N = interactions.rating_N
    if rating_N is None:
        if min_rating is not None:
            raise DataError(
                interactions.path,
                "has no 'rating' column, which min_rating needs",
                "add it or leave min_rating out",
            )
        return np.arange(len(interactions.user_N))
    largest = float(rating_N.max())
    threshold = POSITIVE_SHARE * scale_top(rating_N) if min_rating is None else min_rating
    rows = np.flatnonzero(rating_N >= threshold)
    if len(rows) == 0:
        raise DataError(
            interactions.path,
            f"no rating reaches {threshold:g}, the largest is {largest:g}",
            "choose a smaller min_rating",
        )
    return rows
