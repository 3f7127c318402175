"""The items: every row checked, its words made fit for a tab-separated table.

Knows what is said about an item; knows nothing about interactions or where pictures lie.
"""

# FOLDED training/ingest/items.py: Feature files that come with the tables: copied, with one row per item of the new table.
#
#   Knows rows; knows nothing about what a feature stands for.
#
#   Letters: I items, R rows of a feature file, F width of a vector.
#
# FOLDED training/ingest/items.py: Pictures that lie on this machine: brought into the new folder under their items' ids.
#
#   Knows file names; knows nothing about what is in a picture. Those on the web stay addresses.
#

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.artifact.files import PICTURE_FOLDER, SUFFIXES, file_stem, is_web_address
from training.data.tables import DataError
from training.ingest.checks import Check, id_checks, passed
from training.ingest.formats import Rejects, missing, numbers
from training.ingest.mapping import ItemMapping
from training.ingest.sources import LINE, Source

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


def copy_features(files: Sequence[Path], folder: Path) -> None:
    """As they are."""
    for file in files:
        shutil.copyfile(file, folder / file.name)


def write_features_by_id(files: Sequence[Path], items: pl.DataFrame, folder: Path) -> None:
    """Each item's row is the one that its id counts to; DataError if a file has no such row."""
    row_I = items[ID].cast(pl.UInt32, strict=False)
    if row_I.null_count():
        raise DataError(
            files[0],
            f"has no row for item {items[ID].filter(row_I.is_null())[0]!r}: that is no row number",
            'write feature_rows = "line" under [items] if its rows go by the table\'s lines',
        )
    rows = row_I.to_numpy()
    for file in files:
        x_RF = _opened(file)
        if rows.max() >= len(x_RF):
            raise DataError(
                file,
                f"has {len(x_RF):,} rows, but there is an item {rows.max()}",
                "give the item table that it was made with, or leave it out",
            )
        np.save(folder / file.name, x_RF[rows])


def write_features_by_line(
    files: Sequence[Path], items: pl.DataFrame, num_records: int, folder: Path
) -> None:
    """Row r is that of the r-th record; DataError if there are not as many rows as records."""
    rows = items[ROW].to_numpy()
    for file in files:
        x_RF = _opened(file)
        if len(x_RF) != num_records:
            raise DataError(
                file,
                f"has {len(x_RF):,} rows, but the item table has {num_records:,}",
                "give the item table that it was made with, or leave it out",
            )
        np.save(folder / file.name, x_RF[rows])


def _opened(file: Path) -> NDArray[np.generic]:
    try:
        x_RF: NDArray[np.generic] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            file, f"is not a readable .npy array ({error})", "write it with numpy.save"
        ) from error
    return x_RF


PICTURE_URL = "picture_url"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Where the items' pictures are."""

    files: dict[str, Path]
    """By public id."""
    urls: pl.Series
    """One per item, empty for an item without."""
    absent: list[str]
    """Files that are named but are not there."""


def find_pictures(
    items: pl.DataFrame, folders: Sequence[Path], picture_folder: str | None
) -> Pictures:
    """By the column of pictures, or else by the item's id in `picture_folder`.

    Args:
        items: as `read_catalogue` makes them.
        folders: of the files that the items are from.
        picture_folder: beside the first of these files.

    Raises:
        DataError: there is no such picture folder.
    """
    filed = {} if picture_folder is None else _filed(folders[0] / picture_folder)
    files: dict[str, Path] = {}
    urls, absent = [], []
    named = items[PICTURE] if PICTURE in items.columns else [""] * len(items)
    for public, item_id, file, name in zip(
        items[PUBLIC], items[ID], items[FILE], named, strict=True
    ):
        web = is_web_address(name)
        urls.append(name if web else "")
        path = folders[file] / name if name and not web else filed.get(item_id)
        if path is not None and path.is_file():
            files[public] = path
        elif path is not None:
            absent.append(name)
    return Pictures(files=files, urls=pl.Series(PICTURE_URL, urls, pl.String), absent=absent)


def bring(pictures: Pictures, folder: Path) -> None:
    """Link the files into `folder`, or copy them where the file system cannot link."""
    if not pictures.files:
        return
    (folder / PICTURE_FOLDER).mkdir()
    for item_id, path in pictures.files.items():
        target = folder / PICTURE_FOLDER / f"{file_stem(item_id)}{path.suffix.lower()}"
        try:
            os.link(path.resolve(), target)
        except OSError:
            shutil.copyfile(path, target)


def _filed(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(folder, "is not a folder", "correct picture_folder in the mapping")
    return {path.stem: path for path in _images(folder)}


def _images(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES)
