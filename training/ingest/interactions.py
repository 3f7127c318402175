"""The interactions: every row checked, its values made into ids, points and moments.

Knows what an interaction consists of; knows nothing about repeats or minimums.
"""

# FOLDED training/ingest/interactions.py: What remains of the interactions: repeats merged, and who has too few left out.
#
#   Knows counts; knows nothing about files.
#

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from training.ingest.checks import Check, id_checks, passed
from training.ingest.formats import Rejects, missing, numbers
from training.ingest.mapping import InteractionMapping, Repeats
from training.ingest.moments import seconds
from training.ingest.sources import BATCH_ROWS, LINE, Source

log = logging.getLogger(__name__)
USER, ITEM, VALUE, TIME, LABEL, FILE = "user", "item", "value", "time", "label", "file"
_TOLD_BATCHES = 8
"""A line of progress for every so many: about a million rows, a few seconds."""
_LABELS = (0.0, 1.0, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicIds:
    """Ids by which files go, and those to use instead."""

    of: Mapping[str, str]
    file: str
    """Where they stand."""


def read_choices(
    sources: Sequence[Source],
    mapping: InteractionMapping,
    rejects: Rejects,
    users: PublicIds | None = None,
    items: PublicIds | None = None,
) -> pl.DataFrame:
    """The usable rows of all files, compact.

    Columns: user, item, file (its place among the sources), line; value, time (seconds) and label
    where the mapping names them.
    """
    named = {
        USER: mapping.user,
        ITEM: mapping.item,
        VALUE: mapping.rating or mapping.event,
        TIME: mapping.timestamp,
        LABEL: mapping.label,
    }
    columns = {name: column for name, column in named.items() if column is not None}
    parts = []
    for place, source in enumerate(sources):
        batches = source.batches(list(dict.fromkeys(columns.values())), rejects)
        for number, batch in enumerate(batches, start=1):
            if number % _TOLD_BATCHES == 0:
                log.info(f"{source.path.name}: {number * BATCH_ROWS:,} rows")
            raw = batch.select(
                *(pl.col(column).str.strip_chars().alias(x) for x, column in columns.items()), LINE
            )
            usable = passed(*_read(raw, mapping, users, items), source.path, rejects)
            parts.append(usable.select(*columns, LINE, pl.lit(place, pl.UInt16).alias(FILE)))
    return pl.concat(parts)


def _read(
    raw: pl.DataFrame,
    mapping: InteractionMapping,
    users: PublicIds | None,
    items: PublicIds | None,
) -> tuple[pl.DataFrame, list[Check]]:
    """Rows with values read (null where they cannot be), and what they must pass."""
    texts = raw.rename({name: f"{name} text" for name in raw.columns if name != LINE})
    checks: list[Check] = []
    read: list[pl.Expr | pl.Series] = []
    for what, ids in ((USER, users), (ITEM, items)):
        text = pl.col(f"{what} text")
        checks += id_checks(what, f"{what} text")
        if ids is None:
            read.append(text.alias(what))
        else:
            public = text.replace_strict(ids.of, default=None, return_dtype=pl.String)
            read.append(public.alias(what))
            reason = f"{what} is not in {ids.file}"
            checks.append(Check(reason=reason, bad=pl.col(what).is_null(), value=text))
    if mapping.event is not None:
        points = pl.col(f"{VALUE} text").replace_strict(
            mapping.weights, default=None, return_dtype=pl.Float64
        )
        read.append(points.alias(VALUE))
        checks += _value_checks(VALUE, "event", "event without a weight")
    elif mapping.rating is not None:
        read.append(numbers(pl.col(f"{VALUE} text")).alias(VALUE))
        checks += _value_checks(VALUE, "rating", "rating is not a number")
    if mapping.timestamp is not None:
        moments = seconds(texts[f"{TIME} text"], mapping.timestamp_format, mapping.dates)
        read.append(moments.alias(TIME))
        checks += _value_checks(TIME, "timestamp", "timestamp is not a moment")
    if mapping.label is not None:
        label = numbers(pl.col(f"{LABEL} text"))
        read.append(pl.when(label.is_in(_LABELS)).then(label.cast(pl.Int8)).alias(LABEL))
        checks += _value_checks(LABEL, "label", "label is not 0, 1 or 2")
    return texts.with_columns(read), checks


def _value_checks(column: str, what: str, wrong: str) -> list[Check]:
    text = pl.col(f"{column} text")
    return [
        Check(reason=f"no {what}", bad=missing(text), value=text),
        Check(reason=wrong, bad=pl.col(column).is_null(), value=text),
    ]


def merge_repeats(choices: pl.DataFrame, repeats: Repeats) -> pl.DataFrame:
    """One row per user and item (and label), in the order of the files.

    It is the latest one, by time if there is one and else by place; its value may be the largest,
    or the sum, of all.
    """
    pair = [name for name in (USER, ITEM, LABEL) if name in choices.columns]
    order = [name for name in (TIME, FILE, LINE) if name in choices.columns]
    ordered = choices.sort(order)
    if VALUE in choices.columns and repeats != "latest":
        value = pl.col(VALUE)
        whole = value.sum() if repeats == "sum" else value.max()
        ordered = ordered.with_columns(whole.over(pair))
    return ordered.unique(pair, keep="last").sort(FILE, LINE)


def keep_frequent(choices: pl.DataFrame, min_per_user: int, min_per_item: int) -> pl.DataFrame:
    """Without users and items that have fewer rows, until none of those left has fewer.

    With both minimums at k this is the k-core.
    """
    while True:
        kept = choices.filter(
            pl.len().over(USER) >= min_per_user, pl.len().over(ITEM) >= min_per_item
        )
        if len(kept) == len(choices):
            return kept
        choices = kept
