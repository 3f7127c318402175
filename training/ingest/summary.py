"""What an import did and what the data are like, as figures.

Knows counts; knows nothing about how they are shown.
"""

# FOLDED training/ingest/summary.py: An import's summary as one HTML page that needs nothing from outside.
#
#   Knows figures; knows nothing about where they come from.
#
# FOLDED training/ingest/summary.py: An import's summary as plain text.
#
#   Knows figures and columns of text; knows nothing about where they come from.
#

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import polars as pl
from pydantic import BaseModel, ConfigDict

from training.ingest.folder import REJECTS, UNAVAILABLE
from training.ingest.interactions import ITEM, TIME, USER, VALUE
from training.reporting import pages

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


def summary_page(summary: Summary) -> str:
    """One HTML page that needs nothing from outside."""
    catalogue = summary.catalogue
    return pages.render(
        Path(__file__).with_name("summary.html.j2"),
        name=summary.name,
        facts_of_data=_facts(summary),
        interactions=_fate_facts(summary.interactions),
        ratings=_bar_rows(summary.values),
        months=_bar_rows(summary.months),
        items=_fate_facts(catalogue.rows) if catalogue else [],
        known=_known(catalogue) if catalogue else [],
    )


def _facts(summary: Summary) -> list[tuple[str, str]]:
    above = [("ratings above the scale's top", f"{summary.above_scale:,}")]
    return [
        ("users", f"{summary.users:,}"),
        ("items with interactions", f"{summary.items:,}"),
        ("interactions", f"{summary.interactions.kept:,}"),
        ("likes", f"{summary.likes:,}"),
        *(above if summary.above_scale else []),
        ("share of all pairs", f"{summary.density:.3%}"),
        ("per user", _spread(summary.per_user)),
        ("per item", _spread(summary.per_item)),
        *(
            (f"share of the most chosen {top} % of items", f"{share:.1%}")
            for top, share in summary.top_items.items()
        ),
        ("features", ", ".join(summary.features) or "none"),
        ("seconds", f"{summary.seconds:.1f}"),
        ("memory at most", f"{summary.peak_mb:,.0f} MB"),
    ]


def _fate_facts(rows: Rows) -> list[tuple[str, str]]:
    return [
        ("files", ", ".join(rows.files)),
        ("rows read", f"{rows.read:,}"),
        ("kept", f"{rows.kept:,}"),
        ("merged", f"{rows.merged:,}"),
        ("left out, as users or items have too few", f"{rows.left_out:,}"),
        ("rejected", f"{rows.rejected:,}"),
        *(
            (f"rejected: {reason}", f"{found.rows:,} ({'; '.join(found.examples)})")
            for reason, found in rows.reasons.items()
        ),
    ]


def _known(catalogue: Catalogue) -> list[tuple[str, str]]:
    counts = {
        **{f"with {name}": count for name, count in catalogue.filled.items()},
        "with a picture": catalogue.pictures,
        "that name a picture that is not there": len(catalogue.absent_pictures),
        "that are not available": catalogue.unavailable,
        "without interactions": catalogue.never_chosen,
        "of interactions but not in the table": catalogue.unknown,
    }
    return [(name, f"{count:,}") for name, count in counts.items()]


def _bar_rows(counts: Mapping[str, int] | None) -> list[tuple[str, list[tuple[float, str, str]]]]:
    """Rows of `bar_chart` in the template."""
    most = max((counts or {}).values(), default=1)
    return [
        (name, [(count / most, f"{count:,}", "var(--dominant)")])
        for name, count in (counts or {}).items()
    ]


_BAR = 30
_MONTHS = 24
_ABSENT = 5
"""Most months and absent pictures that are named."""


def summary_text(summary: Summary, out: Path) -> str:
    """Lines for people; what to do next is the last of them."""
    return "\n".join(_lines(summary, out)) + "\n"


def _lines(summary: Summary, out: Path) -> Iterator[str]:
    rows = summary.interactions
    yield (
        f"{summary.name}: {summary.users:,} users, {summary.items:,} items, {rows.kept:,} "
        f"interactions ({summary.density:.2%} of all pairs)"
    )
    yield ""
    yield f"interactions from {', '.join(rows.files)}"
    yield from _fate(rows, out, "user and item")
    if summary.like_from is not None:
        yield f"{summary.likes:12,} are likes (from {summary.like_from:g} on), others count as seen"
    if summary.above_scale:
        yield (
            f"{summary.above_scale:12,} have a rating above {summary.scale_top:g}, taken for the "
            "scale's top: correct them if they are slips"
        )
    if summary.catalogue is not None:
        yield ""
        yield from _catalogue(summary.catalogue, out)
    if summary.features:
        yield f"features: {', '.join(summary.features)}"
    yield ""
    yield f"per user     {_spread(summary.per_user)}"
    yield f"per item     {_spread(summary.per_item)}"
    shares = ", ".join(f"{share:.0%} by {top} %" for top, share in summary.top_items.items())
    yield f"long tail    of all interactions, {shares} of the items"
    for title, bars in (("ratings", summary.values), ("months", _latest(summary.months))):
        if bars:
            yield ""
            yield title
            yield from _bars(bars)
    yield ""
    yield f"wrote {out} in {summary.seconds:.1f} s, {summary.peak_mb:,.0f} MB of memory at most"
    yield f"next: magnet run --data {out}    (encodes what can be, trains, publishes and serves)"


def _fate(rows: Rows, out: Path, of: str) -> Iterator[str]:
    yield f"{rows.read:12,} rows read"
    yield f"{rows.kept:12,} kept"
    if rows.merged:
        yield f"{rows.merged:12,} merged with another row of the same {of}"
    if rows.left_out:
        yield f"{rows.left_out:12,} left out: users or items with too few"
    if rows.rejected:
        yield f"{rows.rejected:12,} rejected, see {out / REJECTS}"
        for reason, found in rows.reasons.items():
            yield f"{found.rows:16,} {reason}: {'; '.join(found.examples)}"


def _catalogue(catalogue: Catalogue, out: Path) -> Iterator[str]:
    yield f"items from {', '.join(catalogue.rows.files)}"
    yield from _fate(catalogue.rows, out, "item")
    for name, count in catalogue.filled.items():
        yield f"{count:12,} have {name}"
    if catalogue.pictures:
        yield f"{catalogue.pictures:12,} have a picture"
    if catalogue.absent_pictures:
        named = ", ".join(catalogue.absent_pictures[:_ABSENT])
        yield f"{len(catalogue.absent_pictures):12,} name a picture that is not there: {named}"
    if catalogue.unavailable:
        yield f"{catalogue.unavailable:12,} are not available, see {out / UNAVAILABLE}"
    if catalogue.never_chosen:
        yield f"{catalogue.never_chosen:12,} have no interactions"
    if catalogue.unknown:
        yield f"{catalogue.unknown:12,} items of the interactions are not in this table"


def _spread(spread: Spread) -> str:
    return f"{spread.least:,} to {spread.most:,} interactions, median {spread.median:g}"


def _latest(months: Mapping[str, int] | None) -> dict[str, int] | None:
    return None if months is None else dict(list(months.items())[-_MONTHS:])


def _bars(counts: Mapping[str, int]) -> Iterator[str]:
    most, width = max(counts.values()), max(map(len, counts))
    for name, count in counts.items():
        yield f"  {name:>{width}s} {'█' * round(_BAR * count / most):{_BAR}s} {count:,}"
