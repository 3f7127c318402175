"""The items: every row checked, its words made fit for a tab-separated table.

Knows what is said about an item; knows nothing about interactions or where pictures lie.
"""

from collections.abc import Sequence

import polars as pl

from training.intake.checks import Check, id_checks, passed
from training.intake.mapping import ItemMapping
from training.intake.numerals import missing, numbers
from training.intake.rejects import Rejects
from training.intake.source import LINE, Source

ID, PUBLIC, PICTURE, ROW, FILE = "id", "item_id", "picture", "row", "file"
HIDDEN = "hidden"
TITLE, YEAR, CATEGORIES, DESCRIPTION = "title", "year", "categories", "description"
_YEAR = r"^(\d{4})(\.0)?$"
_NO = (
    "false",
    "f",
    "no",
    "n",
    "sold out",
    "out of stock",
    "outofstock",
    "unavailable",
    "discontinued",
)
"""Of a column that tells what is available, in lower case; and so are numbers up to zero."""
_SPACES = r"\s+"


def read_catalogue(
    sources: Sequence[Source], mapping: ItemMapping, rejects: Rejects, *, repeated: bool
) -> tuple[pl.DataFrame, int]:
    """One row per item: id, item_id, file (its place among the sources), row, and what is named.

    `row` counts all records but those that cannot be parsed, from 0; `hidden` tells items that may
    not be shown. Of an item that comes again, the first row stays; the others are rejected, or, if
    items are `repeated` as a matter of course, merged: how many is returned too.
    """
    known: set[str] = set()
    parts, num_rows, num_merged = [], 0, 0
    for place, source in enumerate(sources):
        for batch in source.batches(mapping.named, rejects):
            raw = _read(batch, mapping).with_row_index(ROW, offset=num_rows)
            num_rows += len(batch)
            named = passed(raw, id_checks("item", ID), source.path, rejects)
            if mapping.public_id is not None:
                named = passed(named, id_checks("item", PUBLIC), source.path, rejects)
            again = pl.col(ID).is_in(list(known)) | ~pl.col(ID).is_first_distinct()
            if repeated:
                fresh = named.filter(~again)
                num_merged += len(named) - len(fresh)
            else:
                check = Check(reason="item came before", bad=again, value=pl.col(ID))
                fresh = passed(named, [check], source.path, rejects)
            known.update(fresh[ID])
            parts.append(fresh.drop(LINE).with_columns(pl.lit(place, pl.UInt16).alias(FILE)))
    return pl.concat(parts), num_merged


def _read(batch: pl.DataFrame, mapping: ItemMapping) -> pl.DataFrame:
    columns = [
        _stripped(mapping.id).alias(ID),
        _stripped(mapping.public_id or mapping.id).alias(PUBLIC),
        LINE,
    ]
    if mapping.title is not None:
        columns.append(_words([mapping.title]).alias(TITLE))
    if mapping.year is not None:
        columns.append(_stripped(mapping.year).str.extract(_YEAR).fill_null("").alias(YEAR))
    if mapping.categories is not None:
        column, separator = pl.col(mapping.categories), mapping.categories_separator
        columns.append(_categories(column, separator).alias(CATEGORIES))
    if mapping.text:
        columns.append(_words(mapping.text).alias(DESCRIPTION))
    if mapping.picture is not None:
        columns.append(_present(_stripped(mapping.picture)).alias(PICTURE))
    if mapping.available is not None:
        text = _stripped(mapping.available).str.to_lowercase()
        columns.append((text.is_in(_NO) | (numbers(text) <= 0).fill_null(False)).alias(HIDDEN))
    return batch.select(columns)


def _stripped(column: str) -> pl.Expr:
    return pl.col(column).str.strip_chars()


def _present(text: pl.Expr) -> pl.Expr:
    return pl.when(missing(text)).then(pl.lit("")).otherwise(text)


def _words(columns: Sequence[str]) -> pl.Expr:
    """All columns' words in one line: a tab-separated table has no other place for them."""
    parts = [
        _present(_stripped(name).str.replace_all(_SPACES, " ")).replace("", None)
        for name in columns
    ]
    return pl.concat_str(parts, separator=" ", ignore_nulls=True)


def _categories(column: pl.Expr, separator: str) -> pl.Expr:
    """Each ended by a bar: the reader of the table then takes nothing else for a separator."""
    parts = (
        column.str.replace_all(_SPACES, " ")
        .str.split(separator)
        .list.eval(_present(pl.element().str.strip_chars()))
        .list.eval(pl.element().filter(pl.element() != "") + "|")
    )
    return parts.list.join("")
