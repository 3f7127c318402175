"""The table of items as it is read: rows checked, words made fit for one line, pictures found."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import polars as pl

from model.artifact.files import is_web_address, pictures_in
from training.data.markup import without_markup
from training.data.tables import DataError
from training.ingest.mapping import ItemMapping, Mapping
from training.ingest.rejects import AGAIN, LINE, Check, Rejects, id_checks, passed
from training.ingest.rows import FILE, ITEM
from training.ingest.sources import Given, Source
from training.ingest.tables import Interactions, PublicIds, check_rejected
from training.ingest.values import DECIMAL_COMMA, flat_lists, ids, missing, numbers, stripped

ID, PUBLIC, PICTURE, ROW, HIDDEN = "id", "item_id", "picture", "row", "hidden"
TITLE, YEAR, CATEGORIES, DESCRIPTION = "title", "year", "categories", "description"
PICTURE_URL = "picture_url"
ATTRIBUTE = "attribute "
"""What the names of further columns begin with, so that they are no other column's."""
NO = (
    "false", "f", "no", "n", "sold out", "out of stock", "outofstock", "out_of_stock",
    "unavailable", "discontinued", "draft", "archived", "inactive", "disabled", "nein", "non",
)  # fmt: skip
"""Values in lower case that say that an item is not available; so do numbers up to zero."""
YES = (
    "true", "t", "yes", "y", "in stock", "instock", "in_stock", "available", "preorder",
    "backorder", "active", "enabled", "published", "ja", "oui",
)  # fmt: skip
"""Usual values for the opposite; anything else is taken for it too."""
_YEAR = r"^(\d{4})(\.0)?$"
_SPACES = r"\s+"
_FORMATS = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"RIFF": ".webp",
}
"""Suffixes of picture formats by the first bytes of a file."""
_MOST_CHARACTERS = 1024
"""Longest path of a picture."""
_SHOWN_CHARACTERS = 60
_EXAMPLES = 3
"""Ids that a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Where the items' pictures are."""

    files: dict[str, Path]
    """Picture files by public id."""
    urls: pl.Series
    """One per item, empty for an item without."""
    stored: dict[str, tuple[bytes, str]]
    """Pictures from the table itself, with the suffixes of their formats, by public id."""
    absent: list[str]
    """Files that are named but do not exist, and stored pictures that are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """What is known about items."""

    sources: Sequence[Source]
    table: pl.DataFrame
    """The table that `read_item_table` returns."""
    pictures: Pictures
    rejects: Rejects
    public: PublicIds | None
    merged: int
    """Rows left out because they repeat an item, if the item table is the interactions' own."""

    @classmethod
    def load(cls, given: Given, mapping: Mapping) -> Self | None:
        """None if the mapping names no items; DataError if they cannot be used."""
        columns = mapping.items
        if columns is None:
            return None
        sources, rejects = given.sources(columns, mapping), Rejects()
        within = set(columns.files) == set(mapping.interactions.files)
        table, merged = read_item_table(sources, mapping, rejects, repeated=within)
        check_rejected(rejects, len(table) + merged, mapping.max_rejected, sources)
        public = None
        if columns.public_id is not None:
            public = PublicIds.pairs(table[ID], table[PUBLIC], sources[0].path)
        folders = [source.path.parent for source in sources]
        return cls(
            sources=sources,
            table=table,
            pictures=find_pictures(table, folders, columns.picture_folder),
            rejects=rejects,
            public=public,
            merged=merged,
        )

    def check_linked(self, interactions: Interactions) -> None:
        """DataError if the table has no item of any interaction: their ids are not the same."""
        used, known = interactions.counts.per_item[ITEM], self.table[PUBLIC]
        if used.is_in(known.implode()).any():
            return
        theirs, ours = (", ".join(map(repr, ids.head(_EXAMPLES))) for ids in (used, known))
        path = self.sources[0].path
        raise DataError(
            path,
            f"has none of the items in {interactions.sources[0].path.name}: ids there are "
            f"{theirs}, here {ours}",
            f"write the columns that hold the same ids into the mapping, or go without this file: "
            f'ignore = ["{path.name}"] at the top, and no [items]',
        )


def read_item_table(
    sources: Sequence[Source], mappings: Mapping, rejects: Rejects, *, repeated: bool
) -> tuple[pl.DataFrame, int]:
    """The items, one row each, and how many rows were merged.

    Columns: id, item_id (the public one), file (the place of the source), row, what the mapping
    names, and its attributes behind `ATTRIBUTE`; `row` counts all records that can be parsed, from
    0; `hidden` marks items that may not be shown. The first row of an item stays. Its other rows
    are rejected, or merged if items are `repeated` because the table is one of interactions.
    """
    mapping = mappings.items
    assert mapping is not None
    known: set[str] = set()
    parts, num_rows, num_merged = [], 0, 0
    for place, source in enumerate(sources):
        for batch in source.batches(mapping.named, rejects):
            parsed = _parsed(batch, mapping, mappings.normalise_ids).with_row_index(
                ROW, offset=num_rows
            )
            num_rows += len(batch)
            rejects.note_ids("item", batch[mapping.id], parsed[ID])
            named = passed(parsed, id_checks("item", ID), source.path, rejects)
            if mapping.public_id is not None:
                named = passed(named, id_checks("item", PUBLIC), source.path, rejects)
            again = pl.col(ID).is_in(list(known)) | ~pl.col(ID).is_first_distinct()
            if repeated:
                fresh = named.filter(~again)
                num_merged += len(named) - len(fresh)
            else:
                check = Check(AGAIN, again, pl.col(ID))
                fresh = passed(named, [check], source.path, rejects)
            known.update(fresh[ID])
            parts.append(fresh.drop(LINE).with_columns(pl.lit(place, pl.UInt16).alias(FILE)))
    return pl.concat(parts), num_merged


def _parsed(batch: pl.DataFrame, mapping: ItemMapping, normalise: bool) -> pl.DataFrame:
    columns = [
        ids(pl.col(mapping.id), normalise=normalise).alias(ID),
        ids(pl.col(mapping.public_id or mapping.id), normalise=normalise).alias(PUBLIC),
        LINE,
    ]
    if mapping.title is not None:
        columns.append(_words([mapping.title]).alias(TITLE))
    if mapping.year is not None:
        columns.append(stripped(pl.col(mapping.year)).str.extract(_YEAR).fill_null("").alias(YEAR))
    if mapping.categories is not None:
        column, separator = pl.col(mapping.categories), mapping.categories_separator
        columns.append(_categories(column, separator).alias(CATEGORIES))
    if mapping.text:
        columns.append(_words(mapping.text).alias(DESCRIPTION))
    columns += [_attribute(name) for name in mapping.attributes]
    if mapping.picture is not None:
        columns.append(_present(stripped(pl.col(mapping.picture))).alias(PICTURE))
    if mapping.available is not None:
        text = stripped(pl.col(mapping.available)).str.to_lowercase()
        columns.append((text.is_in(NO) | (numbers(text) <= 0).fill_null(False)).alias(HIDDEN))
    return batch.select(columns)


def _present(text: pl.Expr) -> pl.Expr:
    return pl.when(missing(text)).then(pl.lit("")).otherwise(text)


def _words(columns: Sequence[str]) -> pl.Expr:
    """The words of all columns in one line, as a tab-separated table needs."""
    parts = [
        _present(
            without_markup(pl.col(name)).str.replace_all(_SPACES, " ").str.strip_chars()
        ).replace("", None)
        for name in columns
    ]
    return pl.concat_str(parts, separator=" ", ignore_nulls=True)


def _attribute(column: str) -> pl.Expr:
    """One line; numbers with a decimal point, as the reader of the table knows them."""
    text = stripped(pl.col(column)).str.replace_all(_SPACES, " ")
    number = text.str.contains(DECIMAL_COMMA)
    pointed = pl.when(number).then(text.str.replace(",", ".", literal=True)).otherwise(text)
    return _present(pointed).alias(f"{ATTRIBUTE}{column}")


def _categories(column: pl.Expr, separator: str) -> pl.Expr:
    """Each followed by a bar, so that the reader of the table finds no other separator."""
    parts = (
        without_markup(flat_lists(column, separator))
        .str.replace_all(_SPACES, " ")
        .str.split(separator)
        .list.eval(_present(pl.element().str.strip_chars()))
        .list.eval(pl.element().filter(pl.element() != "") + "|")
    )
    return parts.list.join("")


def _stored(name: str) -> tuple[bytes, str] | None:
    """A picture that stands in the table as base64, and the suffix of its format."""
    _, _, text = name.partition(";base64,")
    try:
        content = base64.b64decode(text or name, validate=True)
    except ValueError:
        return None
    suffix = next((x for start, x in _FORMATS.items() if content.startswith(start)), None)
    return None if suffix is None else (content, suffix)


def _beside(folder: Path, name: str) -> Path | None:
    """A file in the folder or below; None for a name that leads out of it, or is none."""
    if len(name) > _MOST_CHARACTERS or "\0" in name:  # an encoded picture, for example
        return None
    path = Path(os.path.normpath(folder / name))
    return path if path.is_relative_to(os.path.normpath(folder)) else None


def find_pictures(
    items: pl.DataFrame, folders: Sequence[Path], picture_folder: str | None
) -> Pictures:
    """The pictures that the table names, or else those named after an item's id.

    Args:
        items: as `read_item_table` makes them.
        folders: of the files that the items are from.
        picture_folder: beside the first of these files, with pictures named after ids.

    Raises:
        DataError: there is no such picture folder.
    """
    filed = {}
    if picture_folder is not None:
        folder = folders[0] / picture_folder
        if not folder.is_dir():
            raise DataError(folder, "is not a folder", "correct picture_folder in the mapping")
        filed = pictures_in(folder)
    files: dict[str, Path] = {}
    stored: dict[str, tuple[bytes, str]] = {}
    urls, absent = [], []
    named = items[PICTURE] if PICTURE in items.columns else [""] * len(items)
    for public, item_id, file, name in zip(
        items[PUBLIC], items[ID], items[FILE], named, strict=True
    ):
        web = is_web_address(name)
        urls.append(name if web else "")
        path = _beside(folders[file], name) if name and not web else filed.get(item_id)
        if path is not None and path.is_file():
            files[public] = path
        elif name and not web and (found := _stored(name)) is not None:
            stored[public] = found
        elif name and not web:
            absent.append(name[:_SHOWN_CHARACTERS])
    return Pictures(
        files=files,
        stored=stored,
        urls=pl.Series(PICTURE_URL, urls, pl.String),
        absent=absent,
    )
