"""Parquet tables as records of strings.

Structs become columns with dots in their names, and lists become values with bars between them.
What the folders of a file say by their names (`day=2026-01-31`) is a column too.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from training.data.tables import DataError


def parquet_columns_of(path: Path) -> list[str]:
    """Names of the columns that can be text; DataError if it is no Parquet file."""
    with _explained(path):
        return list(_texts(_scan(path).collect_schema()))


def list_columns_of(path: Path) -> list[str]:
    """Names of those of them that hold lists."""
    with _explained(path):
        schema = _scan(path).collect_schema()
    return [name for name in _texts(schema) if isinstance(schema.get(name), pl.List)]


def vector_columns_of(path: Path) -> list[str]:
    """Names of the other columns."""
    with _explained(path):
        schema = _scan(path).collect_schema()
    return [name for name, dtype in schema.items() if not _texts_of(name, pl.col(name), dtype)]


def parquet_frames(path: Path, columns: Sequence[str], rows: int) -> Iterator[pl.DataFrame]:
    """The table in frames of some rows each, as strings; an absent value is empty."""
    with _explained(path):
        whole = _scan(path)
        texts = _texts(whole.collect_schema())
        chosen = whole.select(texts[name].fill_null("").alias(name) for name in columns)
        height = whole.select(pl.len()).collect().item()
        for start in range(0, height, rows):
            yield chosen.slice(start, rows).collect()


def _scan(path: Path) -> pl.LazyFrame:
    return pl.scan_parquet(path, hive_partitioning=True)


def _texts(schema: Mapping[str, pl.DataType]) -> dict[str, pl.Expr]:
    """Columns that can be read as text, by name; vectors and bytes cannot."""
    found: dict[str, pl.Expr] = {}
    for name, dtype in schema.items():
        found |= _texts_of(name, pl.col(name), dtype)
    return found


def _texts_of(name: str, column: pl.Expr, dtype: pl.DataType) -> dict[str, pl.Expr]:
    if isinstance(dtype, pl.Struct):
        return {
            inner: text
            for each in dtype.fields
            for inner, text in _texts_of(
                f"{name}.{each.name}",
                column.struct.field(each.name),
                each.dtype,  # type: ignore[arg-type]
            ).items()
        }
    if isinstance(dtype, pl.List):
        return _of_list(name, column, dtype.inner)  # type: ignore[arg-type]
    if isinstance(dtype, pl.Array | pl.Object):
        return {}
    return {name: _as_text(column, dtype)}


def _of_list(name: str, column: pl.Expr, inner: pl.DataType) -> dict[str, pl.Expr]:
    """Words or ids in a list; a struct in it stands for its first text."""
    if isinstance(inner, pl.Struct):
        words = [each.name for each in inner.fields if each.dtype == pl.String]
        if not words:
            return {}
        column = column.list.eval(pl.element().struct.field(words[0]))
    elif inner.is_float() or inner.is_nested() or isinstance(inner, pl.Binary):
        return {}
    return {name: column.cast(pl.List(pl.String)).list.join("|", ignore_nulls=True)}


def _as_text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_float():
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
    return column


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            path, f"cannot be read as Parquet ({reason})", "check that it is whole"
        ) from error
