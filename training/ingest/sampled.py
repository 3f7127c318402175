"""A table's first rows, and what its columns may be by their names and contents."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import polars as pl

from training.ingest.items import NO, YES
from training.ingest.names import NAMES, by_fit, fits, named, plain, words_of
from training.ingest.rejects import Rejects
from training.ingest.sources import Source
from training.ingest.times import DATE_ORDERS, seconds
from training.ingest.values import (
    Style,
    flat_lists,
    missing,
    numbers,
    stripped,
    thousands_of,
    wholes,
)

_ROWS = 5000
NEARLY = 0.9
"""Share of a column's values that must be what the column is taken for; some bad rows are usual,
and `import` refuses more."""
_SAME = 0.8
"""Share of repeated rows of an item that must say the same, if a column is about items."""
MOST_EVENTS = 50
"""Kinds of events; a column of more kinds names something else."""
_SAME_ID = 0.5
"""Share of one table's ids that another has, if both use the same ids; both are only sampled, and
the other may lack some."""
_NAMING = 0.95
"""Least share of distinct values in a column that identifies the rows."""
_SOME = 0.1
"""Least share of the ids that a column must hold to refer to them; ratings hold few."""
_SOME_CELLS = 0.3
"""Share of cells that must show what a column holds."""
_TITLE_CHARACTERS = 200
_LABELS = ("0", "1", "2", "0.0", "1.0", "2.0")
_SEPARATORS = ("|", ";", ",")
_EXAMPLES = 2
"""Values that a reason names."""
_SHOWN_CHARACTERS = 30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """A table and its first rows."""

    path: Path
    names: list[str]
    rows: pl.DataFrame
    """Stripped strings."""
    headed: bool = True
    """Whether the names are the file's own."""
    lists: frozenset[str] = frozenset()
    """Columns in which lists stand."""

    @classmethod
    def of(cls, source: Source) -> Self:
        """Read the first rows."""
        sample = next(source.batches(source.names, Rejects(), _ROWS))
        rows = sample.select(stripped(pl.col(source.names)))
        return cls(
            path=source.path,
            names=source.names,
            rows=rows,
            headed=source.headed,
            lists=source.lists,
        )

    def candidates(self, role: str) -> list[str]:
        """Columns that may have this role by name and by content, of the likeliest names."""
        for alike in by_fit(role, self.names):
            found = [x for x in alike if not self.unlike(role, x)]
            if found:
                return found
        return []

    def unreadable(self, role: str) -> list[str]:
        """Columns that have this role by name and not by content, unless they are empty."""
        return [
            name
            for name in self.all_named(role)
            if len(self.present(name)) and self.unlike(role, name)
        ]

    def unlike(self, role: str, column: str) -> str:
        """Why a column cannot have a role by its content; empty if it can."""
        find = _UNLIKE.get(role)
        values = self.present(column)
        if find is None:
            return ""
        wrong = find(values)
        if len(values) and len(wrong) <= (1 - NEARLY) * len(values):
            return ""
        return f"only {1 - len(wrong) / max(1, len(values)):.0%} can be read, not {examples(wrong)}"

    def dated(self) -> list[str]:
        """Columns of dates, by content alone; plain numbers may be anything and do not count."""
        return [
            name
            for name in self.names
            if self.present(name).cast(pl.Float64, strict=False).is_null().all()
            and not self.unlike("timestamp", name)
        ]

    def with_other_dates(self) -> list[str]:
        """Columns whose names say the date of something else, such as a delivery's."""
        (others,) = NAMES["otherdate"]
        return [
            name
            for name in self.names
            if any(fits(word, other) for word in words_of(name) for other in others)
        ]

    def all_named(self, role: str) -> list[str]:
        """Columns that may have this role by name, however unlikely."""
        return [name for name in self.names if named(role, [name])]

    @property
    def is_about_people(self) -> bool:
        """Whether it says something about users, by its name or its columns."""
        (people,) = NAMES["people"]
        stem = plain(self.path.name.split(".")[0])
        return stem in people or bool(self.all_named("person")) or bool(self.all_named("user"))

    def about(self, item: str, other: Collection[str]) -> "Sampled":
        """The columns that say the same in nearly all rows of an item, and so are about items.

        Args:
            item: the column of items' ids.
            other: columns that are known to be about something else, the user first.
        """
        others = {*other, *self.all_named("user"), *self.all_named("person")}
        user = next(iter(other), None)
        names = [item]
        for name in self.names:
            if name not in {item, *others} and self.set_by(name, item) >= _SAME:
                of_user = 0.0 if user is None else self.set_by(name, user)
                names += [name] if of_user <= self.set_by(name, item) else []
        return Sampled(path=self.path, names=names, rows=self.rows, lists=self.lists)

    def set_by(self, column: str, key: str) -> float:
        """Share of the repeated rows of a key that say what its first row says; 0 without any."""
        again = self.rows.filter(~pl.col(key).is_first_distinct())
        firsts = self.rows.unique(key, keep="first").select(key, first=column)
        same = again.join(firsts, on=key).select(pl.col(column) == pl.col("first")).to_series()
        return float(same.sum() / len(same)) if len(same) else 0.0

    def with_siblings(self, ids: Sequence[str]) -> Sequence[str]:
        """Columns that may be an id, and what stands beside the only one in an object.

        All of them may make up the id, unless they say the same whenever the id comes again.
        """
        if len(ids) != 1 or "." not in ids[0]:
            return ids
        stem = ids[0].rpartition(".")[0] + "."
        beside = [x for x in self.names if x.startswith(stem) and x != ids[0]]
        sure = all(self.set_by(name, ids[0]) >= _SAME for name in beside)
        return ids if sure else [*ids, *beside]

    def present(self, column: str) -> pl.Series:
        """Its values that are not missing."""
        return self.rows.filter(~missing(pl.col(column)))[column]

    def separator(self, column: str) -> str:
        """Between the categories of one item; RecBole's sequences have spaces."""
        if column in self.lists or self.present(column).str.contains(r"^\s*\[.*\]\s*$").all():
            return "|"
        values = pl.select(flat_lists(pl.lit(self.present(column)))).to_series()
        found = (mark for mark in _SEPARATORS if values.str.contains(mark, literal=True).any())
        return next(found, " " if self.path.suffix == ".item" else "|")

    def holds_several(self, column: str) -> bool:
        """Whether cells of a column of ids hold several of them, which then come again."""
        if column in self.lists:
            return True
        values = pl.select(flat_lists(pl.lit(self.present(column).unique()))).to_series()
        for mark in _SEPARATORS:
            parts = values.filter(values.str.contains(mark, literal=True)).str.split(mark)
            if len(parts) >= _SOME_CELLS * len(values) > 0:
                each = parts.explode().str.strip_chars()
                # Parts of one id, such as a shop and a number in it, are always as many.
                share = _SOME_CELLS if parts.list.len().n_unique() == 1 else 1 - _SOME_CELLS
                return each.n_unique() <= share * len(each)
        return False

    def titles(self, key: str, besides: Collection[str]) -> list[str]:
        """Columns that may name items by their content: short texts of words, hardly any twice."""
        known = self.rows.filter(~missing(pl.col(key)))
        first = known.unique(key, keep="first", maintain_order=True)
        found = []
        for name in self.names:
            texts = first.filter(~missing(pl.col(name)))[name]
            if name in besides or named("title", [name]) or len(texts) < _NAMING * len(first):
                continue
            if len(texts) > 1 and texts.n_unique() >= _NAMING * len(texts) and _like_titles(texts):
                found.append(name)
        return found

    def references(self, other: "Sampled") -> list[tuple[str, str]]:
        """Pairs of a column here, whose values repeat, and the ids in another table it names.

        Columns of users are none: what they refer to is no table of items.
        """
        return [
            (ours, theirs)
            for theirs in other.names
            if len(ids := other.present(theirs)) > 1 and ids.n_unique() >= _NAMING * len(ids)
            for ours in self.names
            if not named("user", [ours])
            if self._repeats(ours, ids) and self.overlap(ours, ids) >= _SAME_ID
        ]

    def _repeats(self, column: str, ids: pl.Series) -> bool:
        """Whether the column names many of the ids, some of them several times."""
        values = self.present(column)
        least = _SOME * min(len(ids), len(values))
        return least <= values.n_unique() < len(values)

    def overlap(self, column: str, other: pl.Series) -> float:
        """Share of the column's values that are among others."""
        return float(self.present(column).is_in(other.implode()).mean() or 0.0)  # type: ignore[arg-type]

    def shares_ids(self, column: str, other: pl.Series) -> bool:
        """Whether the column and others hold the same ids."""
        return self.overlap(column, other) >= _SAME_ID


def _like_titles(texts: pl.Series) -> bool:
    words = texts.str.contains(r"\pL{2,}.*\s")
    return bool(words.mean() >= _SOME_CELLS and texts.str.len_chars().max() <= _TITLE_CHARACTERS)  # type: ignore[operator]


def examples(values: Iterable[str]) -> str:
    """Some values, as a reason names them."""
    first = list(dict.fromkeys(values))[:_EXAMPLES]
    return ", ".join(repr(value[:_SHOWN_CHARACTERS]) for value in first)


def style_of(values: pl.Series) -> Style:
    """How numbers are written; where that is not clear, as if it were."""
    thousands, parts = thousands_of(values), wholes(values)
    return Style(
        thousands="," if thousands == "unclear" else thousands,
        out_of=parts[0] if len(parts) == 1 else None,
    )


def _no_numbers(values: pl.Series) -> pl.Series:
    read = pl.select(numbers(pl.lit(values), style_of(values))).to_series()
    return values.filter(read.is_null())


def _no_times(values: pl.Series) -> pl.Series:
    if not values.str.contains(r"\d").any():
        return values
    wrong = [values.filter(seconds(values, order=order).is_null()) for order in DATE_ORDERS]
    return min(wrong, key=len)


def _no_labels(values: pl.Series) -> pl.Series:
    return values.filter(~values.is_in(_LABELS))


def _no_events(values: pl.Series) -> pl.Series:
    return values if values.n_unique() > MOST_EVENTS else values.head(0)


def _no_stock(values: pl.Series) -> pl.Series:
    read = pl.select(numbers(pl.lit(values))).to_series()
    return values.filter(read.is_null() & ~values.str.to_lowercase().is_in([*NO, *YES]))


_UNLIKE: dict[str, Callable[[pl.Series], pl.Series]] = {
    "rating": _no_numbers,
    "count": _no_numbers,
    "year": _no_numbers,
    "timestamp": _no_times,
    "event": _no_events,
    "label": _no_labels,
    "available": _no_stock,
}
"""For each role, a filter of the values that its columns cannot have."""
