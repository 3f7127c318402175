"""One table in a file, whatever its format: column names, and rows as strings, batch by batch.

Knows which suffix is which format; knows nothing about what a column means. Memory holds one batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import polars as pl

from training.intake import json_lines, parquet
from training.intake.delimited import (
    ATOMIC_SUFFIXES,
    BROKEN_QUOTES,
    WRONG_FIELDS,
    Dialect,
    Record,
    dialect_of,
    records,
)
from training.intake.rejects import Rejects
from training.intake.text_lines import plain_suffix, text_lines
from training.tables import DataError

LINE = "__line__"
BATCH_ROWS = 131_072
"""2^17: some 50 MB of strings, and Polars' overhead per batch is lost in it."""
_DELIMITED = frozenset({".csv", ".tsv", ".txt", ".dat", ".data", *ATOMIC_SUFFIXES})
_JSON, _PARQUET = frozenset({".jsonl", ".ndjson", ".json"}), frozenset({".parquet", ".pq"})
UNREADABLE = (WRONG_FIELDS, BROKEN_QUOTES, json_lines.NOT_AN_OBJECT)
"""Reasons for which a record has no fields at all."""
TABLE_SUFFIXES = _DELIMITED | _JSON | _PARQUET
SHEET_SUFFIXES = frozenset({".xlsx", ".xls", ".ods"})
SAVE_SHEETS = "save each sheet as .csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table that has been looked at but not read."""

    path: Path
    names: list[str]
    encoding: str
    dialect: Dialect | None
    """None for formats that are not delimited."""
    headed: bool
    """Whether the first record of a delimited file is a header."""

    @classmethod
    def open(
        cls,
        path: Path,
        encoding: str,
        separator: str | None = None,
        quoted: bool | None = None,
        columns: Sequence[str] | None = None,
    ) -> Self:
        """Read the header; DataError if there is none, or if the format is not known.

        Args:
            path: its suffix tells the format.
            encoding: of a text file.
            separator: of a delimited file; None to tell it by suffix and content.
            quoted: whether fields may stand in quotes; None for: unless tabs separate them.
            columns: of a delimited file that has no header.
        """
        suffix = plain_suffix(path)
        dialect = None
        if suffix in _DELIMITED:
            dialect = dialect_of(path, encoding, separator, quoted)
            names = _names(path, encoding, dialect, columns)
        elif suffix in _JSON:
            names = json_lines.columns_of(path, encoding)
        elif suffix in _PARQUET:
            names = parquet.columns_of(path)
        else:
            remedy = SAVE_SHEETS if suffix in SHEET_SUFFIXES else ""
            raise DataError(
                path,
                f"is of no known format (suffix {suffix or 'missing'!r})",
                remedy
                or f"name it {', '.join(sorted(TABLE_SUFFIXES))}; text may be compressed (.gz)",
            )
        return cls(path=path, names=names, encoding=encoding, dialect=dialect, headed=not columns)

    def batches(
        self, columns: Sequence[str], rejects: Rejects, rows: int = BATCH_ROWS
    ) -> Iterator[pl.DataFrame]:
        """These columns as strings, without nulls, and `LINE`: where the row begins.

        Of a table without usable rows, one batch without rows.
        """
        absent = [name for name in columns if name not in self.names]
        if absent:
            raise DataError(
                self.path,
                f"has no column {absent[0]!r} (found: {', '.join(self.names)})",
                "correct its name in the mapping",
            )
        batches = self._batches(columns, rejects, rows)
        yield next(batches, _frame([*columns, LINE], []))
        yield from batches

    def sample(self, rows: int) -> pl.DataFrame:
        """The first rows, all columns."""
        return next(self.batches(self.names, Rejects(), rows))

    def _batches(
        self, columns: Sequence[str], rejects: Rejects, rows: int
    ) -> Iterator[pl.DataFrame]:
        if self.dialect is not None:
            yield from self._delimited(self.dialect, columns, rejects, rows)
        elif plain_suffix(self.path) in _JSON:
            yield from self._json(columns, rejects, rows)
        else:
            for first, frame in enumerate(parquet.frames(self.path, columns, rows)):
                yield frame.with_row_index(LINE, offset=first * rows + 1)

    def _delimited(
        self, dialect: Dialect, columns: Sequence[str], rejects: Rejects, rows: int
    ) -> Iterator[pl.DataFrame]:
        places = [self.names.index(name) for name in columns]
        with text_lines(self.path, self.encoding) as lines:
            found = records(lines, dialect)
            if self.headed:
                next(found)
            usable = self._usable(found, rejects)
            while part := list(islice(usable, rows)):
                fields = zip(*(record.fields for record in part), strict=True)
                chosen = list(fields)
                yield _frame(
                    [*columns, LINE],
                    [*(chosen[place] for place in places), [record.line for record in part]],
                )

    def _usable(self, found: Iterator[Record], rejects: Rejects) -> Iterator[Record]:
        for record in found:
            if record.fault is None:
                yield record
            else:
                rejects.add(self.path, record.line, record.fault, record.fields[0])

    def _json(self, columns: Sequence[str], rejects: Rejects, rows: int) -> Iterator[pl.DataFrame]:
        def usable(lines: Iterator[str]) -> Iterator[list[str | int]]:
            for line, fields in json_lines.objects(lines):
                if isinstance(fields, str):
                    rejects.add(self.path, line, json_lines.NOT_AN_OBJECT, fields)
                else:
                    yield [*(json_lines.text_of(fields, name) for name in columns), line]

        with text_lines(self.path, self.encoding) as lines:
            found = usable(lines)
            while part := list(islice(found, rows)):
                yield _frame([*columns, LINE], list(zip(*part, strict=True)))


def _frame(names: Sequence[str], columns: Sequence[Sequence[object]]) -> pl.DataFrame:
    schema = {name: pl.UInt32 if name == LINE else pl.String for name in names}
    return pl.DataFrame(list(columns) or None, schema=schema, orient="col")


def _names(path: Path, encoding: str, dialect: Dialect, columns: Sequence[str] | None) -> list[str]:
    with text_lines(path, encoding) as lines:
        first = next(records(lines, dialect), None)
    if first is None or first.fault is not None:
        raise DataError(path, "has no header", "expected a line with column names", line=1)
    if columns is not None:
        if len(first.fields) != len(columns):
            raise DataError(
                path,
                f"has {len(first.fields)} columns, but the mapping names {len(columns)}",
                "name all columns of the file in columns = [...]",
                line=1,
            )
        return list(columns)
    names = [name.strip() for name in first.fields]
    if plain_suffix(path) in ATOMIC_SUFFIXES:
        names = [name.split(":", 1)[0] for name in names]
    _check_header(path, names)
    return names


def _check_header(path: Path, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if not twice and not all(name.replace(".", "").isdigit() for name in names):
        return
    problem = f"names column {twice[0]!r} more than once" if twice else "has only numbers"
    raise DataError(
        path,
        f"{problem} in its first line, which should be the header",
        "put column names there, each once, or name them in a mapping, for example "
        'columns = ["user", "item", "rating", "timestamp"]',
        line=1,
    )
