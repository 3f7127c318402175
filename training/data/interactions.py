"""Interactions: reading one `.inter` file, choosing the positives, splitting them into parts.

Letters: N interactions or positives, U users, I items (of this file), V distinct ratings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.tables import DataError, Table

USER_COLUMNS = ("user_id", "userID", "user")
ITEM_COLUMNS = ("item_id", "itemID", "item")
BLOCK_BYTES = 2**26
"""Of a file that are parsed at once, which takes some times as much memory."""
TRAIN, VALID, TEST = 0, 1, 2
"""Parts of a split, as the column `x_label` has them."""
Split = Literal["label", "time", "global-time", "random"]
POSITIVE_SHARE = 0.8
"""Automatic threshold as a share of the scale's top: 4 on a scale of five stars."""
_BELOW_TOP = 0.99
"""Quantile of the ratings that is the scale's top. With the largest rating, one mistyped 55 among
five stars would make the threshold 44; a top that hardly anybody gives makes little difference."""
MIN_TO_SPLIT = 3
"""All positives of a user with fewer are for training: each part of a split needs one."""


def split_by_time(
    user_N: NDArray[np.integer], timestamp_N: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Each user's newest tenth (at least one) tests, the tenth before it validates.

    Equal times keep the order given. See docs/adr/0003-split-by-time-is-per-user.md.
    """
    return _split_each_user(user_N, np.argsort(timestamp_N, kind="stable"))


def split_at_random(user_N: NDArray[np.integer], seed: int) -> NDArray[np.int64]:
    """As `split_by_time`, in a random order."""
    return _split_each_user(user_N, np.random.default_rng(seed).permutation(len(user_N)))


def split_by_global_time(timestamp_N: NDArray[np.float64]) -> NDArray[np.int64]:
    """The oldest 80 % of all positives train, the next 10 % validate, the newest 10 % test."""
    first_valid, first_test = global_time_cuts(len(timestamp_N))
    part_N = np.full(len(timestamp_N), TRAIN, dtype=np.int64)
    order_N = np.argsort(timestamp_N, kind="stable")
    part_N[order_N[first_valid:]] = VALID
    part_N[order_N[first_test:]] = TEST
    return part_N


def global_time_cuts(num: int) -> tuple[int, int]:
    """Where validation and test begin in the order of time."""
    tenth = (num + 5) // 10  # rounded half up
    return num - 2 * tenth, num - tenth


def _split_each_user(user_N: NDArray[np.integer], order_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Part of each row when every user's rows are taken in the order given."""
    by_user_N = order_N[np.argsort(user_N[order_N], kind="stable")]
    count_U = np.bincount(user_N)
    held_U = np.where(count_U >= MIN_TO_SPLIT, np.maximum(1, (count_U + 5) // 10), 0)
    end_U = np.cumsum(count_U)
    sorted_user_N = user_N[by_user_N]
    from_end_N = end_U[sorted_user_N] - np.arange(len(user_N)) - 1
    held_N = held_U[sorted_user_N]
    part_N = np.full(len(user_N), TRAIN, dtype=np.int64)
    part_N[by_user_N[from_end_N < 2 * held_N]] = VALID
    part_N[by_user_N[from_end_N < held_N]] = TEST
    return part_N


@dataclass(frozen=True, slots=True, kw_only=True)
class Interactions:
    """Every line of the file, in file order."""

    path: Path
    user_ids: list[str]
    """Distinct, in the order of their UTF-8 bytes; the position of an id is its row."""
    item_ids: list[str]
    user_N: NDArray[np.int32]
    item_N: NDArray[np.int32]
    rating_N: NDArray[np.float64] | None
    timestamp_N: NDArray[np.float64] | None
    label_N: NDArray[np.int64] | None


def interaction_file(folder: Path) -> Path:
    """The one `.inter` file of a folder; DataError if there is none or more than one."""
    if not folder.is_dir():
        raise DataError(
            folder, "is not a folder", "give the folder that holds the .inter file (--data DIR)"
        )
    found = sorted(folder.glob("*.inter"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(
            folder,
            f"expected exactly one .inter file, found {names}",
            "put the interactions of one data set into one tab-separated .inter file, or let "
            "`import` make a data folder of files of other kinds",
        )
    return found[0]


def read_interactions(path: Path) -> Interactions:
    """Read and check one `.inter` file; DataError names file, line and column of a fault."""
    users, items, columns = [], [], []
    for table in Table.blocks(path, BLOCK_BYTES):
        users.append(_encode(table.ids(table.require(USER_COLUMNS, "user id"))))
        items.append(_encode(table.ids(table.require(ITEM_COLUMNS, "item id"))))
        columns.append(
            {name: read(table) for name, read in _OPTIONAL.items() if table.find([name])}
        )
    user_ids, user_N = _joined(users)
    item_ids, item_N = _joined(items)
    if len(user_N) == 0:
        raise DataError(path, "has a header but no interactions", "add at least one line")
    found = {name: np.concatenate([block[name] for block in columns]) for name in columns[0]}
    return Interactions(
        path=path,
        user_ids=user_ids,
        item_ids=item_ids,
        user_N=user_N,
        item_N=item_N,
        rating_N=found.get("rating"),
        timestamp_N=found.get("timestamp"),
        label_N=found.get("x_label"),
    )


Encoded = tuple[pl.Series, NDArray[np.int32]]
"""Distinct ids in the order of their UTF-8 bytes, and the place of each row's id among them."""


def _encode(ids_N: pl.Series) -> Encoded:
    distinct = ids_N.unique().sort()
    return distinct, _places(ids_N, distinct)


def _joined(blocks: list[Encoded]) -> tuple[list[str], NDArray[np.int32]]:
    distinct = pl.concat([ids for ids, _ in blocks]).unique().sort()
    codes = [_places(ids, distinct)[codes_N] for ids, codes_N in blocks]
    return distinct.to_list(), np.concatenate(codes)


def _places(ids_N: pl.Series, distinct: pl.Series) -> NDArray[np.int32]:
    place_N: NDArray[np.int32] = ids_N.cast(pl.Enum(distinct)).to_physical().to_numpy()
    return place_N.astype(np.int32)


def _labels(table: Table) -> NDArray[np.int64]:
    label_N = table.numbers("x_label")
    table.check(
        "x_label",
        ~np.isin(label_N, (TRAIN, VALID, TEST)),
        "0 (training), 1 (validation) or 2 (test)",
        "correct this line or remove the column to split automatically",
    )
    return label_N.astype(np.int64)


_OPTIONAL: dict[str, Callable[[Table], NDArray[Any]]] = {
    "rating": lambda table: table.numbers("rating"),
    "timestamp": lambda table: table.numbers("timestamp"),
    "x_label": _labels,
}


def choose_split(wanted: Literal["auto"] | Split, interactions: Interactions) -> Split:
    """The split that `auto` stands for; DataError if the columns do not allow the one wanted."""
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

    Of a repeated pair the earliest row is taken; with labels, a training row before others.
    """
    rows = liked_rows(interactions, min_rating)
    label_N, timestamp_N = interactions.label_N, interactions.timestamp_N
    order_N = label_N if split == "label" else timestamp_N
    if order_N is not None:
        rows = rows[np.argsort(order_N[rows], kind="stable")]
    pair = interactions.user_N[rows] * np.int64(len(interactions.item_ids))
    pair += interactions.item_N[rows]
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
    """The largest rating, without the hundredth of the rows with the largest ones."""
    return scale_top_of(*np.unique(rating_N, return_counts=True))


def scale_top_of(rating_V: NDArray[np.floating], count_V: NDArray[np.int64]) -> float:
    """As `scale_top`, of how many rows have each distinct rating, in ascending order."""
    ends_V = np.cumsum(count_V)
    place = np.ceil((ends_V[-1] - 1) * _BELOW_TOP)
    return float(rating_V[np.searchsorted(ends_V, place, side="right")])


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
    if min_rating is None and scale_top(rating_N) <= 0:
        raise DataError(
            interactions.path,
            f"no rating shows a like: the largest is {largest:g}",
            "say with --min-rating from which one on a row is a like, or take the column out if "
            "every row is one",
        )
    threshold = POSITIVE_SHARE * scale_top(rating_N) if min_rating is None else min_rating
    rows = np.flatnonzero(rating_N >= threshold)
    if len(rows) == 0:
        raise DataError(
            interactions.path,
            f"no rating reaches {threshold:g}, the largest is {largest:g}",
            "choose a smaller min_rating",
        )
    return rows
