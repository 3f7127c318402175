"""Items: titles, years and other metadata of `items.tsv` or of a RecBole `.item` file, and facts.

Metadata are shown to people and used as text features: a field that is empty or unreadable is left
out.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from model.runtime.text_encoder import tokens_of
from training.data.folder import (
    CATEGORY_COLUMNS,
    DESCRIPTION_COLUMNS,
    ENTITY_COLUMNS,
    HEAD_COLUMNS,
    MAX_ATTRIBUTE,
    PICTURE_COLUMNS,
    RELATION_COLUMNS,
    TAIL_COLUMNS,
    TITLE_COLUMNS,
    YEAR_COLUMNS,
)
from training.data.interactions import ITEM_COLUMNS
from training.data.markup import without_markup
from training.data.tables import DataError, Table

WORD_FIELDS = ("title", *DESCRIPTION_COLUMNS)
CATEGORY_SEPARATOR = "|"
_SEPARATORS = (CATEGORY_SEPARATOR, ",", " ")
_MAX_YEAR_DIGITS = 4
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d+)?")
"""Codes with leading zeros, and such that no float holds, are texts."""
_TRUTH = ("true", "false")

Metadata = dict[str, object]


def read_facts(folder: Path, item_ids: Sequence[str]) -> list[list[str]] | None:
    """One list per item of `relation>entity` (item first) and `entity>relation` (item last).

    RecBole's `.kg` file has the triples, its `.link` file the items' entities. None if the folder
    has neither; DataError if it has only one of them, several of a kind, or a faulty one.
    """
    graphs, links = sorted(folder.glob("*.kg")), sorted(folder.glob("*.link"))
    if not graphs and not links:
        return None
    if len(graphs) != 1 or len(links) != 1:
        names = ", ".join(path.name for path in [*graphs, *links])
        raise DataError(
            folder,
            f"expected one .kg and one .link file for the knowledge modality, found {names}",
            "add what is missing or remove the rest",
        )
    items_of = _items_of_entity(Table.read(links[0]), item_ids)
    facts: list[list[str]] = [[] for _ in item_ids]
    table = Table.read(graphs[0])
    triples = zip(
        table.ids(table.require(HEAD_COLUMNS, "head entity")).to_list(),
        table.ids(table.require(RELATION_COLUMNS, "relation")).to_list(),
        table.ids(table.require(TAIL_COLUMNS, "tail entity")).to_list(),
        strict=True,
    )
    for head, relation, tail in triples:
        for row in items_of.get(head, ()):
            facts[row].append(f"{relation}>{tail}")
        for row in items_of.get(tail, ()):
            facts[row].append(f"{head}>{relation}")
    return facts


def _items_of_entity(table: Table, item_ids: Sequence[str]) -> dict[str, list[int]]:
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    items = table.ids(table.require(ITEM_COLUMNS, "item id")).to_list()
    entities = table.ids(table.require(ENTITY_COLUMNS, "entity id")).to_list()
    rows: dict[str, list[int]] = {}
    for item, entity in zip(items, entities, strict=True):
        if item in row_of:
            rows.setdefault(entity, []).append(row_of[item])
    return rows


def text_tokens(metadata: Mapping[str, object]) -> list[str]:
    """Lower-case words without English stop words, plus `year=`, `decade=` and `category=`."""
    categories = metadata.get("categories", [])
    assert isinstance(categories, list)
    texts = (str(metadata.get(field, "")) for field in WORD_FIELDS)
    tokens = tokens_of(texts, metadata.get("year"), categories)
    return [token for token in tokens if token not in ENGLISH_STOP_WORDS]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemTable:
    """Items in the order of their lines, which is the row order of feature files."""

    path: Path
    ids: list[str]
    metadata: list[Metadata]
    """`title` (str), `year` (int), `categories` (list of str), `picture_url` (str), descriptions
    under the names of their columns (str), and all other columns in `attributes` (a dict)."""


def read_items(folder: Path) -> ItemTable | None:
    """Read the item table of a folder, or None if it has none; DataError for a fault."""
    found = [*folder.glob("items.tsv"), *sorted(folder.glob("*.item"))]
    if not found:
        return None
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(folder, f"has several item tables ({names})", "keep one of them")
    table = Table.read(found[0])
    id_column = table.find(ITEM_COLUMNS) or table.frame.columns[0]
    ids = table.ids(id_column).to_list()
    _check_distinct(table, id_column, ids)
    return ItemTable(path=table.path, ids=ids, metadata=_metadata(table, id_column))


def _check_distinct(table: Table, column: str, ids: Sequence[str]) -> None:
    first_line: dict[str, int] = {}
    for line, item_id in enumerate(ids, start=2):
        if item_id in first_line:
            raise DataError(
                table.path,
                f"item {item_id!r} is already on line {first_line[item_id]}",
                "keep one line per item",
                line=line,
                column=column,
            )
        first_line[item_id] = line


def _metadata(table: Table, id_column: str) -> list[Metadata]:
    rows: list[Metadata] = [{} for _ in range(table.frame.height)]
    known = {
        table.find(TITLE_COLUMNS): "title",
        table.find(YEAR_COLUMNS): "year",
        table.find(CATEGORY_COLUMNS): "categories",
        table.find(PICTURE_COLUMNS): "picture_url",
    }
    for column in table.frame.columns:
        if column == id_column:
            continue
        text = pl.col(column)
        if column in (*TITLE_COLUMNS, *CATEGORY_COLUMNS, *DESCRIPTION_COLUMNS):
            text = without_markup(text)
        values = table.frame.select(text.str.strip_chars()).to_series().to_list()
        if column not in known and column not in DESCRIPTION_COLUMNS:
            _add_attribute(rows, column, values)
            continue
        field = known.get(column, column)
        for row, value in zip(rows, _parse(field, values), strict=True):
            if value:
                row[field] = value
    return rows


def _add_attribute(rows: Sequence[Metadata], name: str, values: Sequence[str]) -> None:
    """Numbers if all values are, truth values if all are `true` or `false`, else texts."""
    present = [value for value in values if value]
    if all(map(_NUMBER.fullmatch, present)):
        read: Callable[[str], object] = _number
    elif all(value.lower() in _TRUTH for value in present):
        read = _truth
    else:
        read = str
    for row, value in zip(rows, values, strict=True):
        if value and len(value) <= MAX_ATTRIBUTE:
            attributes = row.setdefault("attributes", {})
            assert isinstance(attributes, dict)
            attributes[name] = read(value)


def _number(value: str) -> int | float:
    return int(value) if value.lstrip("-").isdecimal() else float(value)


def _truth(value: str) -> bool:
    return value.lower() == "true"


def shown(metadata: Metadata) -> Metadata:
    """What an artifact keeps of an item's metadata: descriptions are one field there."""
    kept = {name: value for name, value in metadata.items() if name not in DESCRIPTION_COLUMNS}
    words = " ".join(str(metadata[name]) for name in DESCRIPTION_COLUMNS if name in metadata)
    return kept | {"description": words} if words else kept


def _parse(field: str, values: Sequence[str]) -> Sequence[object]:
    if field == "year":
        return [
            int(value) if value.isdecimal() and len(value) <= _MAX_YEAR_DIGITS else None
            for value in values
        ]
    return parse_categories(values) if field == "categories" else values


def parse_categories(values: Sequence[str]) -> list[list[str]]:
    """The categories of every row; the file has one separator, the first that is found in it."""
    separator = next((s for s in _SEPARATORS if any(s in value for value in values)), " ")
    return [[part.strip() for part in value.split(separator) if part.strip()] for value in values]
