"""Who interacted with what: the rows of one `.inter` file with ids made into row numbers.

Knows the accepted column names; knows nothing about splits, items' content or what is positive.

Letters: N interactions, U users, I items (of this file).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.tables import DataError, Table

USER_COLUMNS = ("user_id", "userID", "user")
ITEM_COLUMNS = ("item_id", "itemID", "item")
LABELS = (0, 1, 2)
"""Values of `x_label`: training, validation, test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interactions:
    """Every line of the file, in file order."""

    path: Path
    user_ids: list[str]
    """Distinct, in the order of their UTF-8 bytes; the position of an id is its row."""
    item_ids: list[str]
    user_N: NDArray[np.int64]
    item_N: NDArray[np.int64]
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
    table = Table.read(path)
    user_ids, user_N = _encode(table.ids(table.require(USER_COLUMNS, "user id")))
    item_ids, item_N = _encode(table.ids(table.require(ITEM_COLUMNS, "item id")))
    if len(user_N) == 0:
        raise DataError(path, "has a header but no interactions", "add at least one line")
    return Interactions(
        path=path,
        user_ids=user_ids,
        item_ids=item_ids,
        user_N=user_N,
        item_N=item_N,
        rating_N=table.numbers("rating") if table.find(["rating"]) else None,
        timestamp_N=table.numbers("timestamp") if table.find(["timestamp"]) else None,
        label_N=_labels(table) if table.find(["x_label"]) else None,
    )


def _encode(ids_N: pl.Series) -> tuple[list[str], NDArray[np.int64]]:
    distinct = ids_N.unique().sort()
    codes_N = ids_N.cast(pl.Enum(distinct)).to_physical().to_numpy().astype(np.int64)
    return distinct.to_list(), codes_N


def _labels(table: Table) -> NDArray[np.int64]:
    label_N = table.numbers("x_label")
    table.check(
        "x_label",
        ~np.isin(label_N, LABELS),
        "0 (training), 1 (validation) or 2 (test)",
        "correct this line or remove the column to split automatically",
    )
    return label_N.astype(np.int64)
