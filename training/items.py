"""What is known about each item: the rows of `items.tsv` or of a RecBole `.item` file.

Knows column names and separators; knows nothing about interactions or feature vectors. Metadata
are for people and for text features: a field that is empty or unreadable is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.interactions import ITEM_COLUMNS
from training.item_columns import (
    CATEGORY_COLUMNS,
    PICTURE_COLUMNS,
    TITLE_COLUMNS,
    YEAR_COLUMNS,
)
from training.tables import DataError, Table

_SEPARATORS = ("|", ",", " ")
_MAX_YEAR_DIGITS = 4

Metadata = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemTable:
    """Items in the order of their lines, which is the row order of feature files."""

    path: Path
    ids: list[str]
    metadata: list[Metadata]
    """`title` (str), `year` (int), `categories` (list of str), `picture_url` (str), and every
    other column that is not all numbers, under its own name (str)."""


def read_items(folder: Path) -> ItemTable | None:
    """Read the item table of a folder, or None if it has none; DataError for a fault."""
    found = [*folder.glob("items.tsv"), *sorted(folder.glob("*.item"))]
    if not found:
        return None
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(folder, f"has several item tables ({names})", "keep one of them")
    table = Table.read(found[0])
    id_column = table.find(ITEM_COLUMNS) or table.names[0]
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
    for column in table.names:
        if column == id_column:
            continue
        values = [value.strip() for value in table.strings(column).to_list()]
        field = known.get(column, column)
        if field == column and column not in known and _all_numbers(values):
            continue
        for row, value in zip(rows, _parse(field, values), strict=True):
            if value:
                row[field] = value
    return rows


def _all_numbers(values: Sequence[str]) -> bool:
    return all(value.replace(".", "", 1).isdigit() for value in values if value)


def _parse(field: str, values: Sequence[str]) -> Sequence[object]:
    if field == "year":
        return [
            int(value) if value.isdecimal() and len(value) <= _MAX_YEAR_DIGITS else None
            for value in values
        ]
    if field == "categories":
        separator = next((s for s in _SEPARATORS if any(s in value for value in values)), " ")
        return [
            [part.strip() for part in value.split(separator) if part.strip()] for value in values
        ]
    return values
