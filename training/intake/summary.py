"""What an import did and what the data are like, as figures.

Knows counts; knows nothing about how they are shown.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import polars as pl
from pydantic import BaseModel, ConfigDict

from training.intake.choices import ITEM, TIME, USER, VALUE

_MOST_BARS = 20
"""Distinct ratings that have a bar of their own; star scales with halves have ten."""
_BINS = 10
_EXAMPLES = 3
_TOP_PERCENT = (1, 10, 20, 50)


class Spread(BaseModel):
    """Of counts."""

    model_config = ConfigDict(frozen=True)

    least: int
    median: float
    most: int


class Rejected(BaseModel):
    """Rows with one reason."""

    model_config = ConfigDict(frozen=True)

    rows: int
    examples: list[str]
    """`file:line: value`."""


class Rows(BaseModel):
    """What became of the rows of one table: read = kept + merged + left out + rejected."""

    model_config = ConfigDict(frozen=True)

    files: list[str]
    read: int
    kept: int
    merged: int = 0
    left_out: int = 0
    """Users or items with too few rows."""
    rejected: int
    reasons: dict[str, Rejected]


class Catalogue(BaseModel):
    """The item table."""

    model_config = ConfigDict(frozen=True)

    rows: Rows
    filled: dict[str, int]
    """Items that have a title, categories, ..., by column."""
    pictures: int
    """Files that were found."""
    absent_pictures: list[str]
    """Files that were named but not found."""
    unavailable: int
    """Items that may not be shown."""
    never_chosen: int
    """Items without interactions."""
    unknown: int
    """Items of interactions that the table does not have."""


class Summary(BaseModel):
    """All of it."""

    model_config = ConfigDict(frozen=True)

    name: str
    interactions: Rows
    users: int
    items: int
    """With interactions."""
    density: float
    """Interactions per pair of such a user and such an item."""
    per_user: Spread
    per_item: Spread
    likes: int
    like_from: float | None
    """The least value of a like; None if every row is one."""
    scale_top: float | None
    """What `like_from` was derived from; None if it was not."""
    above_scale: int
    """Rows with a larger value than that."""
    values: dict[str, int] | None
    """Rows by rating, or by points."""
    top_items: dict[int, float]
    """Share of all interactions that the most chosen so many percent of items have."""
    months: dict[str, int] | None
    catalogue: Catalogue | None
    features: list[str]
    seconds: float
    peak_mb: float


def reasons(rejects: pl.DataFrame) -> dict[str, Rejected]:
    """By reason, the most frequent first."""
    found: dict[str, Rejected] = {}
    for (reason,), group in rejects.group_by("reason", maintain_order=True):
        head = group.head(_EXAMPLES).iter_rows(named=True)
        examples = [f"{row['file']}:{row['line']}: {row['value']!r}" for row in head]
        found[str(reason)] = Rejected(rows=len(group), examples=examples)
    return dict(sorted(found.items(), key=lambda entry: -entry[1].rows))


def spread(choices: pl.DataFrame, by: str) -> Spread:
    """Of the rows per user or item."""
    counts = choices.group_by(by).len()["len"]
    least, median, most = counts.min(), counts.median(), counts.max()
    assert isinstance(least, int)
    assert isinstance(median, float)
    assert isinstance(most, int)
    return Spread(least=least, median=median, most=most)


def top_items(choices: pl.DataFrame) -> dict[int, float]:
    """Shares of the most chosen 1, 10, 20 and 50 % of the items, at least one each."""
    counts = choices.group_by(ITEM).len()["len"].sort(descending=True)
    heads = {percent: math.ceil(len(counts) * percent / 100) for percent in _TOP_PERCENT}
    return {percent: float(counts.head(n).sum()) / len(choices) for percent, n in heads.items()}


def density(choices: pl.DataFrame) -> float:
    """Rows per pair of a user and an item that occur."""
    return len(choices) / (choices[USER].n_unique() * choices[ITEM].n_unique())


def months(choices: pl.DataFrame) -> dict[str, int] | None:
    """Rows by month (UTC), without the months that have none; None without time."""
    if TIME not in choices.columns:
        return None
    moment = pl.from_epoch((pl.col(TIME) * 1e3).cast(pl.Int64), time_unit="ms")
    by_month = choices.group_by(moment.dt.strftime("%Y-%m").alias("month")).len().sort("month")
    return dict(by_month.iter_rows())


def values(choices: pl.DataFrame) -> dict[str, int] | None:
    """Rows by value, or by ten ranges of values if there are too many; None without values."""
    if VALUE not in choices.columns:
        return None
    counts = choices.group_by(VALUE).len().sort(VALUE)
    if len(counts) <= _MOST_BARS:
        return {f"{value:g}": count for value, count in counts.iter_rows()}
    return dict(_ranges(choices[VALUE]))


def _ranges(values_N: pl.Series) -> Iterator[tuple[str, int]]:
    least, most = values_N.min(), values_N.max()
    assert isinstance(least, float)
    assert isinstance(most, float)
    edges = [least + (most - least) * place / _BINS for place in range(_BINS + 1)]
    for low, high in pairwise(edges):
        last = high == edges[-1]
        inside = values_N.is_between(low, high, closed="both" if last else "left").sum()
        yield f"{low:g} to {high:g}", int(inside)
