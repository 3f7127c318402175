"""The given files, and one table in a file: column names, and rows as strings, batch by batch.

Memory holds one batch.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import Self

import polars as pl

from training.data.folder import FEATURE_SUFFIX
from training.data.tables import DataError
from training.ingest.formats import (
    ATOMIC_SUFFIXES,
    COMPRESSED_SUFFIXES,
    NOT_AN_OBJECT,
    ONE_EACH,
    REPEATED_NAME,
    Dialect,
    Record,
    dialect_of,
    plain_suffix,
    records,
    text_lines,
)
from training.ingest.json_records import Repeated, json_columns_of, objects, text_of
from training.ingest.mapping import Mapping, TableMapping
from training.ingest.names import NAMES, plain
from training.ingest.parquet import (
    list_columns_of,
    parquet_columns_of,
    parquet_frames,
    vector_columns_of,
)
from training.ingest.rejects import LINE, Rejects

BATCH_ROWS = 131_072
"""2^17: about 50 MB of strings, enough that Polars' overhead per batch does not count."""
_DELIMITED = frozenset({".csv", ".tsv", ".txt", ".dat", ".data", *ATOMIC_SUFFIXES})
_JSON, _PARQUET = frozenset({".jsonl", ".ndjson", ".json"}), frozenset({".parquet", ".pq"})
TABLE_SUFFIXES = _DELIMITED | _JSON | _PARQUET
NAMED_ONLY = frozenset({".txt", ".dat", ".data", ".json"})
"""Tables if given by name; in a folder such a file is more likely a README or settings."""
_FOLDER_SUFFIXES = sorted(TABLE_SUFFIXES - NAMED_ONLY)
_KNOWLEDGE = frozenset({".kg", ".link"})
SHEET_SUFFIXES = frozenset({".xlsx", ".xls", ".ods"})
_BY_PLACE = re.compile(r"column \d+")
SAVE_SHEETS = "save each sheet as .csv"
SEVERAL = "holds several ids in one cell", ONE_EACH
"""What is wrong with such a column, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One table, of which only the header has been read."""

    path: Path
    names: list[str]
    encoding: str
    dialect: Dialect | None
    """None for formats that are not delimited."""
    headed: bool
    """Whether the first record of a delimited file is a header."""
    lists: frozenset[str] = frozenset()
    """Columns in which lists stand."""

    @classmethod
    def open(
        cls,
        path: Path,
        encoding: str,
        separator: str | None = None,
        quoted: bool | None = None,
        columns: Sequence[str] | None = None,
        header: bool | None = None,
    ) -> Self:
        """Read the header; DataError if there is none, or if the format is not known.

        Args:
            path: its suffix says the format.
            encoding: of a text file.
            separator: of a delimited file; None to find it by suffix and content.
            quoted: whether fields may stand in quotes; None: yes, unless tabs separate them.
            columns: of a delimited file that has no header, or another one.
            header: whether it has one though `columns` are given; None to find out.
        """
        suffix = plain_suffix(path)
        dialect, headed = None, True
        lists: Iterable[str] = ()
        if suffix in _DELIMITED:
            dialect = dialect_of(path, encoding, separator, quoted)
            first = _first_record(path, encoding, dialect)
            names, headed = (
                _own_names(path, first)
                if columns is None
                else _given_names(path, first, columns, header)
            )
        elif suffix in _JSON:
            found = json_columns_of(path, encoding)
            names, lists = list(found), [name for name, is_list in found.items() if is_list]
        elif suffix in _PARQUET:
            names, lists = parquet_columns_of(path), list_columns_of(path)
        else:
            with text_lines(path, encoding):
                pass  # it may say what it is
            remedy = SAVE_SHEETS if suffix in SHEET_SUFFIXES else ""
            raise DataError(
                path,
                f"is of no known format (suffix {suffix or 'missing'!r})",
                remedy
                or f"if it is text or Parquet, name it {', '.join(sorted(TABLE_SUFFIXES))}; text "
                f"may be compressed ({COMPRESSED_SUFFIXES})",
            )
        return cls(
            path=path,
            names=names,
            encoding=encoding,
            dialect=dialect,
            headed=headed,
            lists=frozenset(lists),
        )

    def check_single(self, column: str) -> None:
        """DataError if lists stand in a column of ids."""
        if column in self.lists:
            raise DataError(self.path, *SEVERAL, column=column)

    @property
    def vectors(self) -> list[str]:
        """Columns that are no text, of a Parquet file."""
        return vector_columns_of(self.path) if plain_suffix(self.path) in _PARQUET else []

    @staticmethod
    def is_named(column: str) -> bool:
        """Whether the file itself names a column."""
        return not _BY_PLACE.fullmatch(column)

    def batches(
        self, columns: Sequence[str], rejects: Rejects, rows: int = BATCH_ROWS
    ) -> Iterator[pl.DataFrame]:
        """These columns as strings, without nulls, and `LINE`: where the row begins.

        A table without usable rows gives one batch without rows.
        """
        absent = [name for name in columns if name not in self.names]
        if absent:
            raise DataError(
                self.path,
                f"has no column {absent[0]!r} that can be read (found: {', '.join(self.names)})",
                "correct its name in the mapping",
            )
        batches = self._batches(columns, rejects, rows)
        yield next(batches, _frame([*columns, LINE], []))
        yield from batches

    def _batches(
        self, columns: Sequence[str], rejects: Rejects, rows: int
    ) -> Iterator[pl.DataFrame]:
        if plain_suffix(self.path) in _PARQUET:
            for place, frame in enumerate(parquet_frames(self.path, columns, rows)):
                yield frame.with_row_index(LINE, offset=place * rows + 1)
            return
        read = self._json_rows if self.dialect is None else self._delimited_rows
        with text_lines(self.path, self.encoding) as lines:
            found = read(lines, columns, rejects)
            while part := list(islice(found, rows)):
                yield _frame([*columns, LINE], list(zip(*part, strict=True)))

    def _delimited_rows(
        self, lines: Iterator[str], columns: Sequence[str], rejects: Rejects
    ) -> Iterator[list[str | int]]:
        assert self.dialect is not None
        places = [self.names.index(name) for name in columns]
        found = records(lines, self.dialect)
        if self.headed:
            next(found)
        for line, fields, fault in found:
            if fault is None:
                yield [*[fields[place] for place in places], line]
            else:
                rejects.add(self.path, line, fault, fields[0])

    def _json_rows(
        self, lines: Iterator[str], columns: Sequence[str], rejects: Rejects
    ) -> Iterator[list[str | int]]:
        for line, fields in objects(lines, self.path):
            if isinstance(fields, str):
                rejects.add(self.path, line, NOT_AN_OBJECT, fields)
                continue
            texts = [text_of(fields, name) for name in columns]
            if repeated := [text for text in texts if isinstance(text, Repeated)]:
                rejects.add(self.path, line, REPEATED_NAME, repeated[0])
            else:
                yield [*texts, line]


def _frame(names: Sequence[str], columns: Sequence[Sequence[object]]) -> pl.DataFrame:
    schema = {name: pl.UInt32 if name == LINE else pl.String for name in names}
    return pl.DataFrame(list(columns) or None, schema=schema, orient="col")


def _first_record(path: Path, encoding: str, dialect: Dialect) -> Record:
    with text_lines(path, encoding) as lines:
        first = next(records(lines, dialect), None)
    if first is None or first.fault is not None:
        raise DataError(path, "has no header", "expected a line with column names", line=1)
    return first


def _given_names(
    path: Path, first: Record, columns: Sequence[str], header: bool | None
) -> tuple[list[str], bool]:
    """The names of a mapping, and whether the file has a header that they replace."""
    if len(first.fields) != len(columns):
        raise DataError(
            path,
            f"has {len(first.fields)} columns, but the mapping names {len(columns)}",
            "name all columns of the file in columns = [...]",
            line=1,
        )
    if header is None:
        same = map(_same_name, first.fields, columns)
        header = any(same)
    return list(columns), header


def _same_name(found: str, given: str) -> bool:
    return plain(found) != "" and plain(found) == plain(given)


def _own_names(path: Path, first: Record) -> tuple[list[str], bool]:
    """The names in the first line, and whether it is a header; else names by place."""
    names = [name.strip() for name in first.fields]
    if plain_suffix(path) in ATOMIC_SUFFIXES:
        names = [name.split(":", 1)[0] for name in names]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    places = [_by_place(place) for place in range(1, len(names) + 1)]
    known = any(plain(name) in group for name in names for x in NAMES.values() for group in x)
    numbers = [name for name in names if name.replace(".", "", 1).isdigit()]
    if numbers and not known and (twice or len(numbers) == len(names)):
        return places, False
    if twice:
        replaced = json.dumps([f"column {n}" for n in range(1, len(names) + 1)])
        raise DataError(
            path,
            f"names column {twice[0]!r} more than once in its first line",
            "rename one of them, or give all columns other names in a mapping: "
            f"columns = {replaced} and header = true",
            line=1,
        )
    return [name or place for name, place in zip(names, places, strict=True)], True


def _by_place(place: int) -> str:
    """What a column without a name is called."""
    return f"column {place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The files of the command line, by kind; those of a folder by name."""

    tables: list[Path]
    features: list[Path]
    """`*_feat.npy`"""
    knowledge: list[Path]
    """RecBole's `.kg` and `.link`."""
    passed_over: list[Path]
    """Other files of the folders, and folders in them with such files."""

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Self:
        """Sort files, and the files of folders; DataError for what is neither."""
        given = cls(tables=[], features=[], knowledge=[], passed_over=[])
        for path in dict.fromkeys(_expanded(paths, given.passed_over)):
            if path.name.endswith(FEATURE_SUFFIX):
                given.features.append(path)
            elif path.suffix in _KNOWLEDGE:
                given.knowledge.append(path)
            else:
                given.tables.append(path)
        return given

    @property
    def first(self) -> Path:
        """A file that a message can name."""
        return [*self.tables, *self.features, *self.knowledge][0]

    def check_used(self, mapping: Mapping) -> None:
        """DataError for a table that the mapping neither reads nor ignores."""
        named = [x for x in (mapping.interactions, mapping.items, mapping.users) if x is not None]
        patterns = [*mapping.ignore, *(name for table in named for name in table.files)]
        for path in self.tables:
            if not _matches(path, patterns):
                raise DataError(
                    path,
                    "is given, but the mapping does not say what for",
                    f'add it to the files of a table, or to ignore = ["{path.name}"] at the top',
                )

    @staticmethod
    def of_table(path: Path, table: TableMapping) -> bool:
        """Whether a file is one of a table."""
        return _matches(path, table.files)

    def sources(self, table: TableMapping, mapping: Mapping) -> list[Source]:
        """The files of one table; DataError if one is missing."""
        for name in table.files:
            if not any(_matches(path, [name]) for path in self.tables):
                found = ", ".join(path.name for path in self.tables) or "none"
                raise DataError(
                    Path(name),
                    f"is in the mapping but was not given (given: {found})",
                    "give it to the command, or correct files in the mapping",
                )
        return [
            Source.open(
                path,
                mapping.encoding,
                table.separator,
                table.quoted,
                table.columns,
                table.header,
            )
            for path in self.tables
            if _matches(path, table.files)
        ]


def _expanded(paths: Iterable[Path], passed_over: list[Path]) -> Iterator[Path]:
    """The files; of a folder its own and those of its partitions, such as `day=2026-01-31`."""
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise DataError(path, "is not there", "check its path")
            yield _named(path)
            continue
        entries = sorted(x for x in path.iterdir() if not x.name.startswith("."))
        files = [x for x in entries if not x.is_dir()]
        found = [_named(x) for x in files if x.is_file() and _of_use(x)]
        parts = [x for x in entries if x.is_dir() and "=" in x.name]
        inner = [x for x in entries if x.is_dir() and any(map(_of_use, x.iterdir()))]
        passed_over += [x for x in (*files, *inner) if x not in (*found, *parts)]
        found += _expanded(parts, passed_over)
        if not found:
            sheets = any(inner.suffix in SHEET_SUFFIXES for inner in path.iterdir())
            remedy = f"expected files that end in {', '.join(_FOLDER_SUFFIXES)}"
            if files:
                remedy += f"; a table of another name is read if it is named itself: {files[0]}"
            raise DataError(path, "holds no table", SAVE_SHEETS if sheets else remedy)
        yield from found


def _named(path: Path) -> Path:
    """A file, if a mapping can name it."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        readable = Path(os.fsencode(path).decode(errors="replace"))
        raise DataError(readable, "has a name that is not UTF-8", "rename it") from None
    return path


def _of_use(path: Path) -> bool:
    return (
        plain_suffix(path) in _FOLDER_SUFFIXES
        or path.suffix in _KNOWLEDGE
        or path.name.endswith(FEATURE_SUFFIX)
    )


def _matches(path: Path, patterns: Iterable[str]) -> bool:
    return any(path.name == pattern or fnmatch(path.name, pattern) for pattern in patterns)
