"""The tables of interactions and users as they are read: rows checked, ids and times uniform."""

import logging
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Self

import polars as pl

from training.data.tables import DataError
from training.ingest.counts import Counts, counts_of
from training.ingest.mapping import InteractionMapping, Mapping, Repeats
from training.ingest.rejects import AGAIN, LINE, Check, Rejects, id_checks, passed, shown
from training.ingest.rows import FILE, ITEM, LABEL, TIME, USER, VALUE, Rows
from training.ingest.sources import BATCH_ROWS, Given, Source
from training.ingest.times import seconds
from training.ingest.values import ids as plain_ids
from training.ingest.values import missing, numbers, stripped

log = logging.getLogger(__name__)
FIRST = 3
"""Rows that are shown as they were understood."""
_REPORTED_BATCHES = 8
"""A line of progress for every so many: about a million rows, a few seconds."""
_LABELS = (0.0, 1.0, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicIds:
    """Ids that the files use, and those to use instead."""

    of: Dict[str, str]
    file: str
    """File that they come from, for messages."""

    @classmethod
    def pairs(cls, ids: pl.Series, public: pl.Series, path: Path) -> Self:
        """DataError unless ids and public ids go one to one."""
        for series in (ids, public):
            if series.is_duplicated().any():
                twice = series.filter(series.is_duplicated())[0]
                raise DataError(
                    path,
                    f"names {twice!r} more than once",
                    "ids and the ids that stand for them must go one to one",
                )
        return cls(of=dict(zip(ids, public, strict=True)), file=path.name)


def load_users(given: Given, mapping: Mapping, rejects: Rejects) -> PublicIds | None:
    """Other ids for users; None if the mapping names no users, DataError if they cannot be used."""
    columns = mapping.users
    if columns is None:
        return None
    sources = given.sources(columns, mapping)
    names = {"id": columns.id, "public": columns.public_id}
    read = [
        plain_ids(pl.col(column), normalise=mapping.normalise_ids).alias(name)
        for name, column in names.items()
    ]
    checks = [check for name in names for check in id_checks("user", name)]
    table = pl.concat(
        passed(batch.select(*read, LINE), checks, source.path, rejects)
        for source in sources
        for batch in source.batches(list(dict.fromkeys(names.values())), rejects)
    )
    check_rejected(rejects, len(table), mapping.max_rejected, sources)
    return PublicIds.pairs(table["id"], table["public"], sources[0].path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interactions:
    """Who interacted with what, after each step."""

    sources: Sequence[Source]
    first: pl.DataFrame
    """The first usable rows."""
    num_read: int
    """All usable rows."""
    num_merged: int
    """One row per user and item."""
    kept: Rows
    """Rows without users and items that have too few."""
    counts: Counts
    """Counts of the rows that are kept."""
    rejects: Rejects

    @classmethod
    def load(
        cls,
        given: Given,
        mapping: Mapping,
        users: PublicIds | None,
        items: PublicIds | None,
        folder: Path,
    ) -> Self:
        """DataError if they cannot be used or none are left.

        Many rows are kept in `folder`, which is made then.
        """
        columns, rejects, rows = mapping.interactions, Rejects(), Rows(folder)
        sources = given.sources(columns, mapping)
        first: list[pl.DataFrame] = []
        for usable in read_interactions(sources, mapping, rejects, users, items):
            rows.add(usable)
            first = [pl.concat([*first, usable.head(FIRST)]).head(FIRST)]
        num_read = len(rows)
        check_rejected(rejects, num_read, mapping.max_rejected, sources)
        rows.change(partial(merge_repeats, repeats=columns.merging))
        num_merged = len(rows)
        path = sources[0].path
        keep_frequent(rows, columns.min_per_user, columns.min_per_item, path)
        counts = Counts.of(rows)
        _check_liked(counts, columns, path)
        return cls(
            sources=sources,
            first=first[0],
            num_read=num_read,
            num_merged=num_merged,
            kept=rows,
            counts=counts,
            rejects=rejects,
        )


def read_interactions(
    sources: Sequence[Source],
    mappings: Mapping,
    rejects: Rejects,
    users: PublicIds | None = None,
    items: PublicIds | None = None,
) -> Iterator[pl.DataFrame]:
    """The usable rows of all files, table by table.

    Columns: user, item, file (the place of the source), line; and value, time and label if the
    mapping names them.
    """
    mapping = mappings.interactions
    read_id = partial(plain_ids, normalise=mappings.normalise_ids)
    named = {
        USER: mapping.user,
        ITEM: mapping.item,
        VALUE: mapping.rating or mapping.event,
        TIME: mapping.timestamp,
        LABEL: mapping.label,
    }
    columns = {name: column for name, column in named.items() if column is not None}
    for place, source in enumerate(sources):
        source.check_single(mapping.user)
        source.check_single(mapping.item)
        batches = source.batches(list(dict.fromkeys(columns.values())), rejects)
        for number, batch in enumerate(batches, start=1):
            if number % _REPORTED_BATCHES == 0:
                log.info(f"{shown(source.path)}: {number * BATCH_ROWS:,} rows")
            texts = batch.select(
                *(
                    (read_id if x in (USER, ITEM) else stripped)(pl.col(column)).alias(f"{x} text")
                    for x, column in columns.items()
                ),
                LINE,
            )
            for x in (USER, ITEM):
                rejects.note_ids(x, batch[columns[x]], texts[f"{x} text"])
            usable = passed(*_parsed(texts, mapping, users, items), source.path, rejects)
            yield usable.select(*columns, LINE, pl.lit(place, pl.UInt16).alias(FILE))


def _parsed(
    texts: pl.DataFrame,
    mapping: InteractionMapping,
    users: PublicIds | None,
    items: PublicIds | None,
) -> tuple[pl.DataFrame, list[Check]]:
    """Rows with their values parsed (null where that fails), and the checks to make."""
    checks: list[Check] = []
    parsed: list[pl.Expr | pl.Series] = []
    for what, ids in ((USER, users), (ITEM, items)):
        text = pl.col(f"{what} text")
        checks += id_checks(what, f"{what} text")
        if ids is None:
            parsed.append(text.alias(what))
        else:
            public = text.replace_strict(ids.of, default=None, return_dtype=pl.String)
            parsed.append(public.alias(what))
            checks.append(Check(f"{what} is not in {ids.file}", pl.col(what).is_null(), text))
    if mapping.event is not None:
        points = pl.col(f"{VALUE} text").replace_strict(
            mapping.weights, default=None, return_dtype=pl.Float64
        )
        parsed.append(points.alias(VALUE))
        checks += _value_checks(VALUE, "event", "event without a weight")
    elif mapping.rating is not None:
        parsed.append(numbers(pl.col(f"{VALUE} text"), mapping.style).alias(VALUE))
        checks += _value_checks(VALUE, "rating", "rating is not a number")
    if mapping.timestamp is not None:
        times = seconds(texts[f"{TIME} text"], mapping.timestamp_format, mapping.dates)
        parsed.append(times.alias(TIME))
        checks += _value_checks(TIME, "timestamp", "timestamp is no moment from 1970 to next year")
    if mapping.label is not None:
        label = numbers(pl.col(f"{LABEL} text"))
        parsed.append(pl.when(label.is_in(_LABELS)).then(label.cast(pl.Int8)).alias(LABEL))
        checks += _value_checks(LABEL, "label", "label is not 0, 1 or 2")
    return texts.with_columns(parsed), checks


def _value_checks(column: str, what: str, wrong: str) -> list[Check]:
    text = pl.col(f"{column} text")
    return [Check(f"no {what}", missing(text), text), Check(wrong, pl.col(column).is_null(), text)]


def merge_repeats(interactions: pl.DataFrame, repeats: Repeats) -> pl.DataFrame:
    """One row per user and item (and label), in the order of the files.

    The latest row stays, by time if there is one and else by place; its value may become the
    largest, or the sum, of all.
    """
    pair = [name for name in (USER, ITEM, LABEL) if name in interactions.columns]
    order = [name for name in (TIME, FILE, LINE) if name in interactions.columns]
    ordered = interactions.sort(order)
    if VALUE in interactions.columns and repeats != "latest":
        value = pl.col(VALUE)
        whole = value.sum() if repeats == "sum" else value.max()
        ordered = ordered.with_columns(whole.over(pair))
    return ordered.unique(pair, keep="last").sort(FILE, LINE)


def keep_frequent(rows: Rows, min_per_user: int, min_per_item: int, path: Path) -> None:
    """Leave out users and items that have fewer rows, until none of those left has fewer.

    With both minimums at k this is the k-core. DataError if nothing is left.
    """
    if min_per_user == min_per_item == 1:
        return
    user, item = (int(counts_of(rows, by)["len"].to_numpy().max()) for by in (USER, ITEM))
    before = None
    while len(rows) != before:
        before, counts = len(rows), counts_of(rows, ITEM)
        frequent = counts.filter(pl.col("len") >= min_per_item)[ITEM].implode()
        enough = (pl.len().over(USER) >= min_per_user, pl.col(ITEM).is_in(frequent))
        rows.change(methodcaller("filter", *enough))
    if len(rows) == 0:
        raise DataError(
            path,
            f"no interactions are left: min_per_user is {min_per_user} and min_per_item "
            f"{min_per_item}, the most active user has {user:,} rows and the most chosen "
            f"item {item:,}",
            "choose smaller minimums",
        )


def check_rejected(
    rejects: Rejects, num_usable: int, share: float, sources: Sequence[Source]
) -> None:
    """DataError if a table has no rows, or if a larger share of them than allowed is rejected."""
    num_read = num_usable + len(rejects)
    if num_read == 0:
        raise DataError(sources[0].path, "has no rows", "give a file that has some")
    if num_usable == 0 or len(rejects) > share * num_read:
        found = rejects.by_reason()
        named = "; ".join(f"{x.rows:,} x {why}, as {x.examples[0]}" for why, x in found.items())
        bound = f", more than {share:.0%}" if num_usable else ""
        one = "give each item one row, with a column for each property; " * (AGAIN in found)
        raise DataError(
            sources[0].path,
            f"{len(rejects):,} of {num_read:,} rows cannot be used{bound}: {named}",
            f"{one}correct the mapping or the file, or write max_rejected = 1.0 at the top of the "
            "mapping (or give --max-rejected 1) to go on without these rows",
        )


def _check_liked(counts: Counts, columns: InteractionMapping, path: Path) -> None:
    threshold = columns.threshold
    if threshold is None and columns.rating is not None and counts.scale_top <= 0:
        raise DataError(
            path,
            "has no rating above 0, so nothing is a like",
            "name the column of ratings in the mapping, or say with min_rating what a like is",
        )
    if threshold is not None and counts.values is not None and not counts.from_value(threshold):
        raise DataError(
            path,
            f"no rating reaches min_rating = {threshold:g}, the largest is "
            f"{counts.values[VALUE][-1]:g}",
            "choose a smaller min_rating",
        )
