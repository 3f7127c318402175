"""Feature files that come with the tables: copied, with one row per item of the new table.

Knows rows; knows nothing about what a feature stands for.

Letters: I items, R rows of a feature file, F width of a vector.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.intake.catalogue import ID, ROW
from training.tables import DataError


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
