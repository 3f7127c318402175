"""Items that the API has put, merged into the item table and the feature files of a training set.

So nothing is entered twice. What a file of the data folder says of an item stays if the file is
newer than the item's record; an item that the folder does not have is appended.

Letters: R rows of the item table, F width of a feature file.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.registry.items import ItemRecord
from training.data.folder import (
    CATEGORY_COLUMNS,
    DESCRIPTION_COLUMNS,
    FEATURE_SUFFIX,
    PICTURE_COLUMNS,
    TITLE_COLUMNS,
    YEAR_COLUMNS,
)
from training.data.interactions import ITEM_COLUMNS
from training.data.items import CATEGORY_SEPARATOR, parse_categories
from training.data.tables import DataError, Table

log = logging.getLogger(__name__)

_COLUMNS = {
    "title": TITLE_COLUMNS,
    "categories": CATEGORY_COLUMNS,
    "description": DESCRIPTION_COLUMNS,
    "picture_url": PICTURE_COLUMNS,
}
"""The fields of a record and the columns that may hold them. Attributes have columns of their own
names, unless those mean something else."""
_TAKEN = {*ITEM_COLUMNS, *(name for names in _COLUMNS.values() for name in names)}


def usable_records(records: Sequence[ItemRecord]) -> list[ItemRecord]:
    """Records that a table can hold, sorted by id, without deleted items."""
    return sorted(
        (each for each in records if not each.retired and _is_cell(each.item_id)),
        key=lambda each: each.item_id,
    )


def _is_cell(text: str) -> bool:
    return text.strip() != "" and not any(mark in text for mark in "\t\r\n")


def merge_items(source: Path, folder: Path, records: Sequence[ItemRecord]) -> None:
    """Write the item table and the feature files that differ from those of the data folder.

    Args:
        source: the data folder.
        folder: of the training set; it has neither table nor feature files yet.
        records: see `usable_records`.

    Raises:
        DataError: a file of the data folder cannot be used.
    """
    features = sorted(source.glob(f"*{FEATURE_SUFFIX}"))
    table, changed_at = _table(source, features)
    id_column = table.find(ITEM_COLUMNS) or table.frame.columns[0]
    row_of = {item_id: row for row, item_id in enumerate(table.ids(id_column).to_list())}
    known = len(row_of)
    for record in records:
        row_of.setdefault(record.item_id, len(row_of))
    newer = [
        each
        for each in records
        if row_of[each.item_id] >= known or each.updated_at.timestamp() > changed_at
    ]
    frame = _with_records(table, id_column, row_of, newer)
    frame.write_csv(folder / "items.tsv", separator="\t", quote_style="never")
    for path in features:
        _merge_features(path, folder / path.name, row_of, records)
    log.info(f"items put by the API: {len(records)}, of which in no table: {len(row_of) - known}")


def _table(source: Path, features: Sequence[Path]) -> tuple[Table, float]:
    """The item table and when it was written; one of row numbers where only features are."""
    found = [*source.glob("items.tsv"), *sorted(source.glob("*.item"))]
    if found:
        return Table.read(found[0]), found[0].stat().st_mtime
    rows = len(np.load(features[0], mmap_mode="r")) if features else 0
    frame = pl.DataFrame(
        {ITEM_COLUMNS[0]: [str(row) for row in range(rows)]}, schema_overrides=_IDS
    )
    return Table(path=source / "items.tsv", frame=frame), 0.0


_IDS = {ITEM_COLUMNS[0]: pl.String}


def _with_records(
    table: Table, id_column: str, row_of: Mapping[str, int], records: Sequence[ItemRecord]
) -> pl.DataFrame:
    """The table with what these records say."""
    added = len(row_of) - table.frame.height
    columns = {name: [*table.frame[name].to_list(), *[""] * added] for name in table.frame.columns}
    columns[id_column] = list(row_of)
    for field, accepted in _COLUMNS.items():
        given = {
            row_of[each.item_id]: _cell(each.metadata()[field])
            for each in records
            if field in each.model_fields_set
        }
        if not any(given.values()) and table.find(accepted) is None:
            continue
        column = table.find(accepted) or field
        cells = columns.setdefault(column, [""] * len(row_of))
        if field == "categories":  # all by one separator
            cells = list(map(_cell, parse_categories(cells)))
        for row, cell in given.items():
            cells[row] = cell
        columns[column] = cells
    _set_attributes(columns, {id_column, *_TAKEN}, row_of, records)
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def _set_attributes(
    columns: dict[str, list[str]],
    taken: Collection[str],
    row_of: Mapping[str, int],
    records: Sequence[ItemRecord],
) -> None:
    """Write the attributes of records that have given any, each into its column.

    A year stays unless another is given.
    """
    given = [each for each in records if "attributes" in each.model_fields_set]
    named = {name for each in given for name in each.attributes if _is_cell(name)}
    for name in sorted({*columns, *named}.difference(taken)):
        cells = columns.setdefault(name, [""] * len(row_of))
        for each in given:
            if name in each.attributes or name not in YEAR_COLUMNS:
                cells[row_of[each.item_id]] = _cell(each.attributes.get(name))


def _cell(value: object) -> str:
    """A field as it stands in a table; a separator ends each category, so that it is known."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return np.format_float_positional(value, trim="-")
    if isinstance(value, list):
        value = "".join(f"{each.replace('|', '/')}{CATEGORY_SEPARATOR}" for each in value)
    return "" if value is None else " ".join(str(value).split())


def _merge_features(
    path: Path, target: Path, row_of: Mapping[str, int], records: Sequence[ItemRecord]
) -> None:
    """A feature file with a row for every item of the table; NaN for one without."""
    name = path.name.removesuffix(FEATURE_SUFFIX)
    try:
        x_RF = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(
            path, f"is not a readable .npy array ({error})", "write it with numpy.save"
        ) from error
    changed_at = path.stat().st_mtime
    given: dict[int, NDArray[np.float64]] = {}
    for record in records:
        vector, row = record.features.get(name), row_of[record.item_id]
        if vector is None or (row < len(x_RF) and record.updated_at.timestamp() <= changed_at):
            continue
        if len(vector) == x_RF.shape[1]:
            given[row] = np.array(vector)
        else:
            log.warning(f"{record.item_id}: {len(vector)} numbers, {path.name} has {x_RF.shape[1]}")
    if not given and len(x_RF) == len(row_of):
        target.symlink_to(path.resolve())
        return
    merged_RF = np.full((max(len(row_of), len(x_RF)), x_RF.shape[1]), np.nan, dtype=x_RF.dtype)
    merged_RF[: len(x_RF)] = x_RF
    for row, vector_F in given.items():
        merged_RF[row] = vector_F
    np.save(target, merged_RF)
