"""The first rows of a table, looked at to tell what its columns are.

Knows what usually is in a column of ids, ratings, moments and so on; knows nothing about files that
belong together.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import polars as pl

from training.intake.column_names import named
from training.intake.moments import Order, order_of, seconds
from training.intake.numerals import missing, numbers
from training.intake.source import Source

_ROWS = 5000
_MOSTLY = 0.8
"""Share of a column's values that must be what the column is taken for; bad rows are usual."""
_MOST_EVENTS = 20
"""Kinds of events; a column of more names no kind of event."""
SAME_ID = 0.5
"""Share of one table's ids that another has, if both go by the same ids; both are only sampled, and
the other may lack some."""
_NAMING = 0.95
"""Share of a column's values that differ, if it names the rows."""
_SOME = 0.1
"""Least share of the ids that a column of references names: a column of ratings names few."""
_LABELS = ("0", "1", "2", "0.0", "1.0", "2.0")
_SEPARATORS = ("|", ";", ",")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """A table and its first rows."""

    path: Path
    names: list[str]
    rows: pl.DataFrame
    """Stripped strings."""
    headed: bool = True
    """Whether the names are the file's own."""

    @classmethod
    def of(cls, source: Source) -> Self:
        """Read the first rows."""
        rows = source.sample(_ROWS).select(pl.col(source.names).str.strip_chars())
        return cls(path=source.path, names=source.names, rows=rows)

    def candidates(self, role: str) -> list[str]:
        """Columns that may be this by name and by content."""
        holds = _CONTENT.get(role, _is_present)
        return [name for name in named(role, self.names) if holds(self.present(name))]

    def dated(self) -> list[str]:
        """Columns of dates, whatever their names."""
        return [name for name in self.names if _is_date(self.present(name))]

    def all_named(self, role: str) -> list[str]:
        """Columns that may be this by name, however unlikely."""
        return [name for name in self.names if named(role, [name])]

    def about(self, item: str, other: Collection[str]) -> "Sampled":
        """The columns that say the same in nearly all rows of an item, and so are about items.

        Args:
            item: the column of items' ids.
            other: columns that are known to be about something else.
        """
        names = [item, *(x for x in self.names if x not in other and self._is_told_by(x, item))]
        return Sampled(path=self.path, names=names, rows=self.rows)

    def present(self, column: str) -> pl.Series:
        """Its values without those that stand for nothing."""
        return self.rows.filter(~missing(pl.col(column)))[column]

    def order(self, column: str) -> Order | Literal["unclear"] | None:
        """Of day and month in a column of moments."""
        return order_of(self.present(column))

    def kinds(self, column: str) -> list[str]:
        """Distinct values, the most frequent first."""
        counts = self.present(column).value_counts().sort("count", column, descending=[True, False])
        return counts[column].to_list()

    def separator(self, column: str) -> str:
        """Between the categories of one item; RecBole's sequences have spaces."""
        values = self.present(column)
        found = (mark for mark in _SEPARATORS if values.str.contains(mark, literal=True).any())
        return next(found, " " if self.path.suffix == ".item" else "|")

    def references(self, other: "Sampled") -> list[tuple[str, str]]:
        """Columns whose values repeat here and are what names the rows of another table."""
        return [
            (ours, theirs)
            for theirs in other.names
            if len(ids := other.present(theirs)) > 1 and ids.n_unique() >= _NAMING * len(ids)
            for ours in self.names
            if self._repeats(ours, ids) and self.overlap(ours, ids) >= SAME_ID
        ]

    def _repeats(self, column: str, ids: pl.Series) -> bool:
        """Whether the column names many of the ids, some of them several times."""
        values = self.present(column)
        least = _SOME * min(len(ids), len(values))
        return least <= values.n_unique() < len(values)

    def _is_told_by(self, column: str, item: str) -> bool:
        again = self.rows.filter(~pl.col(item).is_first_distinct())
        firsts = self.rows.unique(item, keep="first").select(item, first=column)
        same = again.join(firsts, on=item).select(pl.col(column) == pl.col("first")).to_series()
        return len(same) > 0 and same.sum() >= _MOSTLY * len(same)

    def overlap(self, column: str, other: pl.Series) -> float:
        """Share of the column's values that are among others."""
        return float(self.present(column).is_in(other.implode()).mean() or 0.0)  # type: ignore[arg-type]


def _is_present(values: pl.Series) -> bool:
    return len(values) > 0


def _is_number(values: pl.Series) -> bool:
    return _mostly(pl.select(numbers(pl.lit(values))).to_series())


def _is_moment(values: pl.Series) -> bool:
    return any(_mostly(seconds(values, order=order)) for order in ("day-first", "month-first"))


def _is_date(values: pl.Series) -> bool:
    """Moments that are not mere numbers, which may be anything."""
    return bool(values.cast(pl.Float64, strict=False).is_null().all()) and _is_moment(values)


def _is_event(values: pl.Series) -> bool:
    return 0 < values.n_unique() <= _MOST_EVENTS


def _is_label(values: pl.Series) -> bool:
    return len(values) > 0 and bool(values.is_in(_LABELS).all())


def _mostly(read: pl.Series) -> bool:
    return len(read) > 0 and read.null_count() <= (1 - _MOSTLY) * len(read)


_CONTENT: dict[str, Callable[[pl.Series], bool]] = {
    "rating": _is_number,
    "count": _is_number,
    "year": _is_number,
    "timestamp": _is_moment,
    "event": _is_event,
    "label": _is_label,
}
