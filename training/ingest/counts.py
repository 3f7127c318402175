"""What the summary of an import says of its interactions, counted table by table.

Letters: U users, V distinct values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.data.interactions import scale_top_of
from training.ingest.rows import ITEM, TIME, USER, VALUE, Rows

COUNT = "len"
_MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Rows by user, item, value and month."""

    rows: int
    per_user_U: NDArray[np.int64]
    per_item: pl.DataFrame
    """Columns item and len."""
    values: pl.DataFrame | None
    """Columns value and len, by value; None if every row is a like."""
    months: dict[str, int] | None
    """Rows by month (UTC), of rows that have a time; None without times."""
    whole_times: bool
    """Whether all times are whole seconds."""

    @classmethod
    def of(cls, rows: Rows) -> Self:
        """Count; there is at least one row."""
        users, whole = [], True
        items: list[pl.DataFrame] = []
        values: list[pl.DataFrame] = []
        months: list[pl.DataFrame] = []
        for frame in rows.by_user():
            users.append(frame.group_by(USER).len()[COUNT].to_numpy().astype(np.int64))
            items = [_sums([*items, counted(frame, ITEM)], ITEM)]
            if VALUE in frame.columns:
                values = [_sums([*values, counted(frame, VALUE)], VALUE)]
            if TIME in frame.columns:
                time = pl.from_epoch((pl.col(TIME) * 1e3).cast(pl.Int64), time_unit="ms")
                month = frame.select(time.dt.strftime("%Y-%m").alias(_MONTH))
                months = [_sums([*months, counted(month, _MONTH)], _MONTH)]
                whole = whole and bool((frame[TIME] % 1 == 0).all())
        return cls(
            rows=len(rows),
            per_user_U=np.concatenate(users),
            per_item=items[0],
            values=values[0].sort(VALUE) if values else None,
            months=dict(months[0].sort(_MONTH).iter_rows()) if months else None,
            whole_times=whole,
        )

    @property
    def scale_top(self) -> float:
        """The top of the scale of values."""
        assert self.values is not None
        return scale_top_of(self.values[VALUE].to_numpy(), self.values[COUNT].to_numpy())

    def from_value(self, least: float) -> int:
        """How many rows have at least this value."""
        assert self.values is not None
        return int(self.values.filter(pl.col(VALUE) >= least)[COUNT].sum())


def counted(frame: pl.DataFrame, by: str) -> pl.DataFrame:
    """Rows by the values of a column, in the order of the first row of each."""
    return frame.group_by(by, maintain_order=True).agg(pl.len().cast(pl.Int64).alias(COUNT))


def counts_of(rows: Rows, by: str) -> pl.DataFrame:
    """`counted` over all rows."""
    total: list[pl.DataFrame] = []
    for frame in rows.by_user():
        total = [_sums([*total, counted(frame, by)], by)]
    return total[0]


def _sums(parts: Sequence[pl.DataFrame], by: str) -> pl.DataFrame:
    if len(parts) == 1:
        return parts[0]
    return pl.concat(parts).group_by(by, maintain_order=True).agg(pl.col(COUNT).sum())
