"""The figures of an import, as a model, as plain text and as an HTML page.

Letters: V distinct values, X users or items.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from model.artifact.files import SUFFIXES
from training.data.files import peak_mb
from training.data.interactions import POSITIVE_SHARE
from training.ingest.counts import COUNT, Counts
from training.ingest.folder import REJECTS, UNAVAILABLE
from training.ingest.items import (
    CATEGORIES,
    DESCRIPTION,
    HIDDEN,
    PICTURE_URL,
    PUBLIC,
    TITLE,
    YEAR,
    Items,
)
from training.ingest.mapping import Mapping as TableMappings
from training.ingest.rejects import Rejected, Rejects
from training.ingest.rows import ITEM, TIME, USER, VALUE
from training.ingest.sources import NAMED_ONLY, SAVE_SHEETS, SHEET_SUFFIXES, Given, Source
from training.ingest.tables import Interactions
from training.reporting import pages

_MOST_BARS = 20
"""Distinct ratings that have a bar of their own; star scales with halves have ten."""
_BINS = 10
_TOP_PERCENT = (1, 10, 20, 50)
_MOST_COLUMNS = 12
"""Columns that one line names."""


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Spread(_Figures):
    """How many rows a user, or an item, has."""

    least: int
    median: float
    most: int


class FirstRow(_Figures):
    """A row as it was understood."""

    user: str
    item: str
    value: float | None
    """Rating or points; None where every row is a like."""
    time: str | None
    """UTC, ISO 8601."""


class Rows(_Figures):
    """What became of the rows of one table: read = kept + merged + left out + rejected."""

    files: list[str]
    read: int
    kept: int
    merged: int = 0
    left_out: int = 0
    """Users or items with too few rows."""
    rejected: int
    reasons: dict[str, Rejected]


class Catalogue(_Figures):
    """The item table."""

    rows: Rows
    filled: dict[str, int]
    """Items that have a title, categories, ..., by column."""
    pictures: int
    """Files that were found, and pictures in the table itself."""
    absent_pictures: list[str]
    """Files that were named but not found."""
    unavailable: int
    """Items that may not be shown."""
    never_chosen: int
    """Items without interactions."""
    unknown: int
    """Items of interactions that the table does not have."""


class Summary(_Figures):
    """All figures of an import."""

    name: str
    interactions: Rows
    users: int
    items: int
    """Items with interactions."""
    density: float
    """Share of all pairs of such a user and item that are interactions."""
    per_user: Spread
    per_item: Spread
    likes: int
    like_from: float | None
    """The value from which a row is a like; None if every row is one."""
    scale_top: float | None
    """The top of the scale that `like_from` was derived from, if it was."""
    above_scale: int
    """Rows with a larger value than that."""
    values: dict[str, int] | None
    """Rows by rating, or by points."""
    top_items: dict[int, float]
    """Share of all interactions that the most chosen 1 %, 10 % ... of items have."""
    months: dict[str, int] | None
    catalogue: Catalogue | None
    features: list[str]
    weights: dict[str, float]
    """Points by event, if there are events."""
    whole_ids: dict[str, int]
    """Ids that were stored with decimals (12.0), counted by `user` and `item`."""
    respelled: dict[str, list[str]]
    """By what is identified: ids that come in several spellings that look the same, and stay apart;
    each once."""
    first: list[FirstRow]
    not_used: list[str]
    """Files and columns, with the reason where it is known."""
    seconds: float
    peak_mb: float


def summarised(
    name: str,
    mapping: TableMappings,
    interactions: Interactions,
    items: Items | None,
    given: Given,
    seconds: float,
) -> Summary:
    """All figures.

    Args:
        name: of the data folder.
        mapping: of the import.
        interactions: of the import.
        items: of the import.
        given: the files.
        seconds: that the import has taken so far.
    """
    counts, top = interactions.counts, None
    threshold = mapping.interactions.threshold
    sources = [*interactions.sources, *(items.sources if items else [])]
    rejects = [interactions.rejects, *([items.rejects] if items else [])]
    whole = [each.whole_ids for each in rejects]
    if threshold is None and counts.values is not None:
        top = counts.scale_top
        threshold = POSITIVE_SHARE * top
    num_users, num_items = len(counts.per_user_U), len(counts.per_item)
    per_item_I = counts.per_item[COUNT].to_numpy()
    return Summary(
        name=name,
        interactions=_rows(
            interactions.sources,
            interactions.rejects,
            kept=counts.rows,
            merged=interactions.num_read - interactions.num_merged,
            left_out=interactions.num_merged - counts.rows,
        ),
        users=num_users,
        items=num_items,
        density=counts.rows / (num_users * num_items),
        per_user=_spread_of(counts.per_user_U),
        per_item=_spread_of(per_item_I),
        likes=counts.rows if threshold is None else counts.from_value(threshold),
        like_from=threshold,
        scale_top=top,
        above_scale=0 if top is None else counts.from_value(math.nextafter(top, math.inf)),
        values=_values(counts),
        top_items=_top_items(counts),
        months=counts.months,
        catalogue=None if items is None else _catalogue_of(items, counts.per_item[ITEM]),
        features=[path.name for path in given.features],
        weights=mapping.interactions.weights,
        whole_ids={what: sum(x.get(what, 0) for x in whole) for x in whole for what in x},
        respelled=Rejects.respelled(rejects),
        first=_first_rows(interactions.first),
        not_used=list(dict.fromkeys(_unused(given, mapping, sources))),
        seconds=seconds,
        peak_mb=peak_mb(),
    )


def _unused(given: Given, mapping: TableMappings, sources: Sequence[Source]) -> Iterator[str]:
    """A line for each file that was passed over, and for the columns that a file is not read for.

    Args:
        given: the files.
        mapping: what is read.
        sources: the tables that are read.
    """
    for path in given.passed_over:
        if not path.is_file() or path.suffix.lower() not in SUFFIXES:
            yield f"{path.name}: {_why_unused(path)}"
    tables = [x for x in (mapping.interactions, mapping.items) if x is not None]
    for source in {source.path: source for source in sources}.values():
        named = {
            name for table in tables if given.of_table(source.path, table) for name in table.named
        }
        left = [name for name in source.names if name not in named and source.is_named(name)]
        if left:
            more = f" and {len(left) - _MOST_COLUMNS} more" if len(left) > _MOST_COLUMNS else ""
            yield f"columns of {source.path.name}: {', '.join(left[:_MOST_COLUMNS])}{more}"
        for name in source.vectors:
            yield f"column {name!r} of {source.path.name}: vectors are read from *_feat.npy only"


def _why_unused(path: Path) -> str:
    suffix = path.suffix.lower()
    if path.is_dir():
        return "a folder in a folder is not read; give it too"
    if not path.is_file():
        return "no file, or a link to none"
    if suffix in SHEET_SUFFIXES:
        return f"a spreadsheet is not read; {SAVE_SHEETS}"
    if suffix in NAMED_ONLY:
        return "not read from a folder; if it is a table, give it by name"
    return "of no format that can be read"


def _first_rows(first: pl.DataFrame) -> list[FirstRow]:
    return [
        FirstRow(
            user=row[USER],
            item=row[ITEM],
            value=row.get(VALUE),
            time=_moment(row[TIME]) if TIME in row else None,
        )
        for row in first.to_dicts()
    ]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(" ", "seconds")


def _rows(
    sources: Sequence[Source], rejects: Rejects, *, kept: int, merged: int = 0, left_out: int = 0
) -> Rows:
    return Rows(
        files=list(dict.fromkeys(source.path.name for source in sources)),
        read=kept + merged + left_out + len(rejects),
        kept=kept,
        merged=merged,
        left_out=left_out,
        rejected=len(rejects),
        reasons=rejects.by_reason(),
    )


def _catalogue_of(items: Items, used: pl.Series) -> Catalogue:
    table, urls = items.table, items.pictures.urls
    words = [name for name in (TITLE, YEAR, CATEGORIES, DESCRIPTION) if name in table.columns]
    filled = {name: int((table[name] != "").sum()) for name in words}
    if (urls != "").any():
        filled[PICTURE_URL] = int((urls != "").sum())
    known = table[PUBLIC].is_in(used.implode())
    return Catalogue(
        rows=_rows(items.sources, items.rejects, kept=len(table), merged=items.merged),
        filled=filled,
        pictures=len(items.pictures.files) + len(items.pictures.stored),
        absent_pictures=items.pictures.absent,
        unavailable=int(table[HIDDEN].sum()) if HIDDEN in table.columns else 0,
        never_chosen=int((~known).sum()),
        unknown=len(used) - int(known.sum()),
    )


def _spread_of(count_X: NDArray[np.int64]) -> Spread:
    return Spread(
        least=int(count_X.min()), median=float(np.median(count_X)), most=int(count_X.max())
    )


def _top_items(counts: Counts) -> dict[int, float]:
    """Shares of the most chosen 1, 10, 20 and 50 % of the items, at least one each."""
    most = counts.per_item[COUNT].sort(descending=True)
    heads = {percent: math.ceil(len(most) * percent / 100) for percent in _TOP_PERCENT}
    return {percent: float(most.head(n).sum()) / counts.rows for percent, n in heads.items()}


def _values(counts: Counts) -> dict[str, int] | None:
    """Rows by value, or by ten ranges of values if there are too many; None without values."""
    if counts.values is None:
        return None
    if len(counts.values) <= _MOST_BARS:
        return {f"{value:g}": count for value, count in counts.values.iter_rows()}
    value_V, count_V = (counts.values[name].to_numpy() for name in (VALUE, COUNT))
    numbers, edges = np.histogram(value_V, _BINS, weights=count_V)
    return {
        f"{low:g} to {high:g}": int(number)
        for (low, high), number in zip(pairwise(edges), numbers, strict=True)
    }


def summary_page(summary: Summary) -> str:
    """One HTML page that needs nothing from outside."""
    catalogue, out = summary.catalogue, Path(summary.name)
    return pages.render(
        Path(__file__).with_name("summary.html.j2"),
        name=summary.name,
        facts_of_data=_facts(summary),
        interactions=_row_facts(summary.interactions, out, "user and item"),
        ratings=_bar_rows(summary.values),
        months=_bar_rows(summary.months),
        items=_row_facts(catalogue.rows, out, "item") if catalogue else [],
        known=_facts_of(_known(catalogue, out)) if catalogue else [],
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


def _row_facts(rows: Rows, out: Path, of: str) -> list[tuple[str, str]]:
    counts = [*_fate(rows, out, of), *_reasons(rows)]
    return [("files", ", ".join(rows.files)), *_facts_of(counts)]


def _facts_of(counts: Sequence[tuple[int, str]]) -> list[tuple[str, str]]:
    return [(text, f"{count:,}") for count, text in counts]


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
    """Lines for people."""
    return "\n".join(_lines(summary, out)) + "\n"


def _lines(summary: Summary, out: Path) -> Iterator[str]:
    rows = summary.interactions
    yield (
        f"{summary.name}: {summary.users:,} users, {summary.items:,} items, {rows.kept:,} "
        f"interactions ({summary.density:.2%} of all pairs)"
    )
    yield ""
    yield f"interactions from {', '.join(rows.files)}"
    yield from _counted(rows, out, "user and item")
    if summary.like_from is not None:
        yield f"{summary.likes:12,} are likes (from {summary.like_from:g} on), others count as seen"
    if summary.above_scale:
        yield (
            f"{summary.above_scale:12,} have a rating above {summary.scale_top:g}, taken for the "
            "scale's top: correct them if they are slips"
        )
    yield from _understood(summary)
    if summary.catalogue is not None:
        yield ""
        yield f"items from {', '.join(summary.catalogue.rows.files)}"
        yield from _counted(summary.catalogue.rows, out, "item")
        yield from (f"{count:12,} {text}" for count, text in _known(summary.catalogue, out))
    if summary.features:
        yield f"features: {', '.join(summary.features)}"
    if summary.not_used:
        yield ""
        yield "not used"
        yield from (f"  {line}" for line in summary.not_used)
    yield ""
    yield f"per user     {_spread(summary.per_user)}"
    yield f"per item     {_spread(summary.per_item)}"
    shares = ", ".join(f"{share:.0%} by {top} %" for top, share in summary.top_items.items())
    yield f"long tail    of all interactions, {shares} of the items"
    months = dict(list((summary.months or {}).items())[-_MONTHS:])
    for title, bars in (("ratings", summary.values), ("months", months)):
        if bars:
            yield ""
            yield title
            yield from _bars(bars)
    yield ""
    yield f"wrote {out} in {summary.seconds:.1f} s, {summary.peak_mb:,.0f} MB of memory at most"


def _understood(summary: Summary) -> Iterator[str]:
    """What events and ids were taken for, and the first rows."""
    likes = [event for event, points in summary.weights.items() if points > 0]
    others = [f"{event} {points:+g}" for event, points in summary.weights.items() if points <= 0]
    if likes:
        yield f"  likes: {', '.join(likes)}" + (
            f"; no likes: {', '.join(others)}" if others else ""
        )
    for what, count in summary.whole_ids.items():
        yield f"{count:12,} {what} ids such as 12.0 were read as 12"
    for what, ids in summary.respelled.items():
        yield (
            f"{len(ids):12,} {what} ids have spellings that look the same (Unicode NFC and NFD), "
            f"such as {ids[0]!r}, and stay apart: write normalise_ids = true at the top of the "
            "mapping to make each of them one"
        )
    yield "  the first rows:"
    for row in summary.first:
        value = "like" if row.value is None else f"{row.value:g}"
        yield "    " + ", ".join(x for x in (row.user, row.item, value, row.time) if x is not None)


def _counted(rows: Rows, out: Path, of: str) -> Iterator[str]:
    yield from (f"{count:12,} {text}" for count, text in _fate(rows, out, of))
    yield from (f"{count:16,} {text}" for count, text in _reasons(rows))


def _fate(rows: Rows, out: Path, of: str) -> list[tuple[int, str]]:
    """What became of the rows of a table, one of which remains of each `of`."""
    others = [
        (rows.merged, f"merged with another row of the same {of}"),
        (rows.left_out, "left out: users or items with too few"),
        (rows.rejected, f"rejected, see {out / REJECTS}"),
    ]
    return [(rows.read, "rows read"), (rows.kept, "kept"), *(x for x in others if x[0])]


def _reasons(rows: Rows) -> list[tuple[int, str]]:
    return [(x.rows, f"{why}: {'; '.join(x.examples)}") for why, x in rows.reasons.items()]


def _known(catalogue: Catalogue, out: Path) -> list[tuple[int, str]]:
    absent = catalogue.absent_pictures
    others = [
        (catalogue.pictures, "have a picture"),
        (
            len(absent),
            f"name a picture that is not there: {', '.join(absent[:_ABSENT])}",
        ),
        (catalogue.unavailable, f"are not available, see {out / UNAVAILABLE}"),
        (catalogue.never_chosen, "have no interactions"),
        (catalogue.unknown, "items of the interactions are not in this table"),
    ]
    filled = [(count, f"have {name}") for name, count in catalogue.filled.items()]
    return [*filled, *(x for x in others if x[0])]


def _spread(spread: Spread) -> str:
    return f"{spread.least:,} to {spread.most:,} interactions, median {spread.median:g}"


def _bars(counts: Mapping[str, int]) -> Iterator[str]:
    most, width = max(counts.values()), max(map(len, counts))
    for name, count in counts.items():
        yield f"  {name:>{width}s} {'█' * round(_BAR * count / most):{_BAR}s} {count:,}"
