"""Rows of a Parquet file, every value as a string.

Knows column types; knows nothing about what a column means.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from training.tables import DataError


def columns_of(path: Path) -> list[str]:
    """Column names; DataError if it is no Parquet file."""
    with _reported(path):
        return list(pl.read_parquet_schema(path))


def frames(path: Path, columns: Sequence[str], rows: int) -> Iterator[pl.DataFrame]:
    """Some rows after the other, as strings; an absent value is empty."""
    with _reported(path):
        whole = pl.scan_parquet(path).select(columns)
        schema = whole.collect_schema()
        texts = whole.select(_as_text(name, dtype) for name, dtype in schema.items())
        height = pl.scan_parquet(path).select(pl.len()).collect().item()
        for start in range(0, height, rows):
            yield texts.slice(start, rows).collect()


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.List):
        column = column.cast(pl.List(pl.String)).list.join("|", ignore_nulls=True)
    elif dtype.is_float():
        # Whole numbers with gaps are often stored as floats: user 7.0 is user 7.
        whole = column.cast(pl.Int64, strict=False)
        column = (
            pl.when(whole == column).then(whole.cast(pl.String)).otherwise(column.cast(pl.String))
        )
    elif isinstance(dtype, pl.Binary):
        column = column.cast(pl.String, strict=False)
    elif isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.String)
    else:
        column = column.cast(pl.String)
    return column.fill_null("").alias(name)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            path, f"cannot be read as Parquet ({reason})", "check that it is whole"
        ) from error
