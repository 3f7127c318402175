"""The data folder that an import makes: written whole or not at all, over earlier imports only.

Letters: I items, R rows of a feature file, F width of a vector.
"""

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.artifact.files import PICTURE_FOLDER, file_stem
from training.data.features import check_matrix
from training.data.files import sync
from training.data.tables import DataError, check_named, writing
from training.ingest.formats import UNREADABLE
from training.ingest.items import (
    ATTRIBUTE,
    CATEGORIES,
    DESCRIPTION,
    HIDDEN,
    ID,
    PICTURE_URL,
    PUBLIC,
    ROW,
    TITLE,
    YEAR,
    Items,
)
from training.ingest.mapping import ItemMapping
from training.ingest.rows import ITEM, LABEL, TIME, USER, VALUE
from training.ingest.tables import Interactions

MAPPING, SUMMARY, REJECTS = "mapping.toml", "import.json", "rejects.csv"
UNAVAILABLE = "unavailable.txt"
"""Ids of items that may not be shown, one per line."""
ENCODED = ".encoded.sqlite"
"""The cache of encoded contents; keyed by content, so it stays valid for other items."""
_COLUMNS = (PUBLIC, TITLE, YEAR, CATEGORIES, DESCRIPTION)


def check_target(out: Path, force: bool) -> None:
    """DataError if `out` exists, unless it is empty, or it is an import and `force` is given."""
    check_named(out)
    _restore(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (out / SUMMARY).is_file():
        raise DataError(
            out, "is there and was not made by this command", "name another folder with --out"
        )
    if not force:
        raise DataError(
            out, "is there already", "replace it with --force, or name another folder with --out"
        )


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `out` in one step once all is written."""
    partial, old = out.with_name(f".{out.name}.importing"), _old(out)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(out):
            partial.mkdir(parents=True)
            yield partial
            for path in filter(Path.is_file, partial.iterdir()):
                sync(path)
            if out.exists():
                if (out / ENCODED).exists():
                    shutil.copyfile(out / ENCODED, partial / ENCODED)
                out.rename(old)
            partial.rename(out)
            sync(out.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        _restore(out)


def _restore(out: Path) -> None:
    """Finish or undo a replacement that was killed between its two steps."""
    if _old(out).exists():
        if out.exists():
            shutil.rmtree(_old(out))
        else:
            _old(out).rename(out)


@contextmanager
def room_for_rows(out: Path) -> Iterator[Path]:
    """Where rows of a large import are kept until they are written; it goes when all is done."""
    folder = out.with_name(f".{out.name}.rows")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _old(out: Path) -> Path:
    return out.with_name(f".{out.name}.replaced")


def write_interactions(interactions: Interactions, threshold: float | None, path: Path) -> None:
    """The `.inter` file. With a threshold, `rating` is 1 for a like and 0 for a view."""
    columns = {"user_id": pl.col(USER), "item_id": pl.col(ITEM)}
    counts, names = interactions.counts, interactions.first.columns
    if VALUE in names:
        columns["rating"] = pl.col(VALUE)
        if threshold is not None:
            columns["rating"] = (pl.col(VALUE) >= threshold).cast(pl.Int8)
            columns[VALUE] = pl.col(VALUE)
    if TIME in names:
        columns["timestamp"] = pl.col(TIME).cast(pl.Int64 if counts.whole_times else pl.Float64)
    if LABEL in names:
        columns["x_label"] = pl.col(LABEL)
    with path.open("wb") as file:
        for number, rows in enumerate(interactions.kept.in_order()):
            _write_table(rows.select(**columns), file, header=number == 0)


def write_items(items: Items, folder: Path) -> None:
    """The item table, the pictures and the list of items that may not be shown."""
    table = items.table.select(name for name in _COLUMNS if name in items.table.columns)
    table = table.with_columns(**_attributes(items.table, [*table.columns, PICTURE_URL]))
    urls = items.pictures.urls
    _write_table(table.with_columns(urls) if (urls != "").any() else table, folder / "items.tsv")
    if items.pictures.files or items.pictures.stored:
        (folder / PICTURE_FOLDER).mkdir()
    for item_id, (content, suffix) in items.pictures.stored.items():
        (folder / PICTURE_FOLDER / f"{file_stem(item_id)}{suffix}").write_bytes(content)
    for item_id, path in items.pictures.files.items():
        target = folder / PICTURE_FOLDER / f"{file_stem(item_id)}{path.suffix.lower()}"
        try:
            os.link(path.resolve(), target)
        except OSError:  # the file system cannot link
            shutil.copyfile(path, target)
    if HIDDEN in items.table.columns:
        hidden = items.table.filter(HIDDEN)[PUBLIC]
        (folder / UNAVAILABLE).write_text("".join(f"{x}\n" for x in hidden), "utf-8")


def _attributes(table: pl.DataFrame, taken: Collection[str]) -> dict[str, pl.Series]:
    """Further columns by name; what follows a colon would be read as a type."""
    names = {
        column.removeprefix(ATTRIBUTE).replace(":", "_"): column
        for column in table.columns
        if column.startswith(ATTRIBUTE)
    }
    return {name: table[column] for name, column in names.items() if name not in taken}


def _write_table(table: pl.DataFrame, file: Path | BinaryIO, *, header: bool = True) -> None:
    table.write_csv(
        file,
        include_header=header,
        separator="\t",
        quote_style="never",
        float_scientific=False,
    )


def write_features(
    files: Sequence[Path], items: Items | None, mapping: ItemMapping | None, folder: Path
) -> None:
    """Copy feature files, with one row per item of the new table.

    Raises:
        DataError: a file cannot be read, or its rows are not those of the given item table.
    """
    if items is None or mapping is None:
        for file in files:
            _opened(file)
            shutil.copyfile(file, folder / file.name)
        return
    if not files:
        return
    by_id = mapping.feature_rows == "id"
    row_I = _rows_by_id(items.table[ID], files[0]) if by_id else items.table[ROW].to_numpy()
    num_records = 0 if by_id else _num_records(items, files[0])
    for file in files:
        x_RF = _opened(file)
        problem = None
        if by_id and row_I.max() >= len(x_RF):
            problem = f"there is an item {row_I.max()}"
        elif not by_id and len(x_RF) != num_records:
            problem = f"the item table has {num_records:,}"
        if problem is not None:
            raise DataError(
                file,
                f"has {len(x_RF):,} rows, but {problem}",
                "give the item table that it was made with, or leave it out",
            )
        np.save(folder / file.name, x_RF[row_I])


def _rows_by_id(ids: pl.Series, file: Path) -> NDArray[np.uint32]:
    """Each item's id as a row number; DataError for an id that is none."""
    row_I = ids.cast(pl.UInt32, strict=False)
    if row_I.null_count():
        raise DataError(
            file,
            f"has no row for item {ids.filter(row_I.is_null())[0]!r}: that is no row number",
            'write feature_rows = "line" under [items] if its rows go by the table\'s lines',
        )
    return row_I.to_numpy()


def _num_records(items: Items, file: Path) -> int:
    """How many records the given item table has; DataError if one cannot be parsed."""
    rejects = items.rejects.frame
    unreadable = rejects.filter(pl.col("reason").is_in(UNREADABLE))
    if len(unreadable):
        raise DataError(
            items.sources[0].path,
            f"{unreadable['reason'][0]}: rows of {file.name} after it cannot be matched to items",
            "repair this line",
            line=unreadable["line"][0],
        )
    return len(items.table) + items.merged + len(rejects)


def _opened(file: Path) -> NDArray[np.generic]:
    try:
        x_RF: NDArray[np.generic] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            file, f"is not a readable .npy array ({error})", "write it with numpy.save"
        ) from error
    check_matrix(file, x_RF)
    return x_RF
