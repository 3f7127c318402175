"""Records of a file whose fields are separated by a character: CSV, TSV and their relatives.

Knows separators, quotes and lines; knows nothing about what a field means. A quote that is never
closed, or closed too late, costs the line that it stands on and no other.
"""

# FOLDED training/ingest/formats.py: The lines of a text file, plain or compressed by gzip, in whatever encoding it is.
#
#   Knows bytes and encodings; knows nothing about columns.
#
# FOLDED training/ingest/formats.py: Records of a JSON Lines file: one object per line.
#
#   Knows JSON; knows nothing about what a field means. Objects within objects become columns with
#   dots in their names, lists of values become values with bars between them.
#
# FOLDED training/ingest/formats.py: Numbers as people and programs write them.
#
#   Knows decimal points and commas; knows nothing about what is counted.
#
# FOLDED training/ingest/formats.py: Rows of a Parquet file, every value as a string.
#
#   Knows column types; knows nothing about what a column means.
#
# FOLDED training/ingest/formats.py: Rows that cannot be used: where each stands, why, and what was found there.
#
#   Knows places and reasons; knows nothing about what makes a row unusable.
#

import codecs
import csv
import gzip
import io
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple, cast

import polars as pl

from training.data.tables import DataError

DEFAULT_ENCODING = "utf-8"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_COMPRESSED = ".gz"
_READ_BYTES = 2**20


def plain_suffix(path: Path) -> str:
    """The suffix in lower case, without that of the compression: `.csv` of `Ratings.CSV.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


@contextmanager
def text_lines(path: Path, encoding: str) -> Iterator[Iterator[str]]:
    """Lines with their ends, exactly as they are in the file; a byte order mark is left out.

    What is UTF-8 is read as UTF-8 even if another encoding is named: of several files some may be.

    Raises:
        DataError: the file cannot be read, is damaged, or is not in this encoding.
    """
    _check_known(path, encoding)
    try:
        with _bytes(path) as content, _decoded(content, encoding) as text:
            yield text
    except UnicodeError as error:
        raise _not_encoded(path, encoding) from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise DataError(path, f"is damaged ({error})", "get it again, or unpack it") from error
    except OSError as error:
        raise DataError(
            path, f"cannot be read ({error.strerror})", "check its path and permissions"
        ) from error


def _check_known(path: Path, encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise DataError(
            path,
            f"cannot be read as {encoding!r}, which is no encoding",
            "name one, such as utf-8, cp1252 or latin-1",
        ) from error


def _bytes(path: Path) -> IO[bytes]:
    if path.suffix.lower() == _COMPRESSED:
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def _decoded(content: IO[bytes], encoding: str) -> io.TextIOWrapper:
    buffered = io.BufferedReader(cast(io.RawIOBase, content))
    if encoding == DEFAULT_ENCODING or _is_unicode(content):
        marked = buffered.peek(2)[:2] in _UTF16_MARKS
        encoding = "utf-16" if marked else "utf-8-sig"
    return io.TextIOWrapper(buffered, encoding=encoding, newline="")


def _is_unicode(content: IO[bytes]) -> bool:
    """Whether all is UTF-8, or marked as UTF-16: text in another encoding is hardly ever so."""
    decoder = codecs.getincrementaldecoder(DEFAULT_ENCODING)()
    try:
        first = content.read(_READ_BYTES)
        if first[:2] in _UTF16_MARKS:
            return True
        decoder.decode(first)
        while piece := content.read(_READ_BYTES):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    finally:
        content.seek(0)
    return True


def _not_encoded(path: Path, encoding: str) -> DataError:
    with _bytes(path) as content:
        for number, line in enumerate(content, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return DataError(
                    path,
                    f"is not {encoding} (byte 0x{line[error.start]:02x})",
                    "say what it is, for example --encoding cp1252 (Western European, by Windows) "
                    "or --encoding latin-1",
                    line=number,
                )
    return DataError(path, f"is not {encoding}", "say what it is with --encoding")


_JSON_SAMPLE = 1000
"""Records whose keys are the columns."""
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
NOT_AN_OBJECT = "not a JSON object"


def json_columns_of(path: Path, encoding: str) -> list[str]:
    """Keys of the first records in the order in which they come; DataError if there are none."""
    with text_lines(path, encoding) as lines:
        if next(lines, "").lstrip().startswith("["):
            raise DataError(
                path,
                "is one list, not one object per line",
                f"convert it, for example with `jq -c '.[]' {path.name} > {path.stem}.jsonl`",
                line=1,
            )
    with text_lines(path, encoding) as lines:
        names = dict.fromkeys(
            name
            for _, fields in islice(objects(lines), _JSON_SAMPLE)
            if isinstance(fields, dict)
            for name in _columns("", fields)
        )
    if not names:
        raise DataError(
            path,
            "has no JSON object on any of its first lines",
            'expected one per line, such as {"user": "u1", "item": "i1"}',
            line=1,
        )
    return list(names)


def objects(lines: Iterator[str]) -> Iterator[tuple[int, dict[str, object] | str]]:
    """Line number and object, its numbers as they are written, or the line if it holds none."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = _DECODER.decode(line)
        except (ValueError, RecursionError):
            value = None
        yield number, value if isinstance(value, dict) else line.strip()


def text_of(fields: Mapping[str, object], column: str) -> str:
    """The value of a column, empty if there is none."""
    value = fields.get(column)
    if value is None and "." in column:
        outer, _, inner = column.partition(".")
        within = fields.get(outer)
        return text_of(within, inner) if isinstance(within, dict) else ""
    return value if isinstance(value, str) else _text(value)


def _columns(prefix: str, fields: Mapping[str, object]) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _columns(f"{prefix}{name}.", value)
        else:
            yield prefix + name


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list):
        return "|".join(map(_text, value))
    return json.dumps(value, ensure_ascii=False)


MISSING = ("", "na", "n/a", "nan", "none", "null", "nil", "\\n", "-", "?")
"""How absent values are written, in lower case: pandas, SQL dumps, spreadsheets, people."""
_DECIMAL_COMMA = r"^[+-]?\d+,\d+$"
_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+$"


def missing(text: pl.Expr) -> pl.Expr:
    """Whether a stripped string stands for no value."""
    return text.str.to_lowercase().is_in(MISSING)


def numbers(text: pl.Expr) -> pl.Expr:
    """Finite numbers; null for what is none, and for `1,000`, which may mean 1 or 1000."""
    pointed = (
        pl.when(text.str.contains(_THOUSANDS))
        .then(pl.lit(None, dtype=pl.String))
        .when(text.str.contains(_DECIMAL_COMMA))
        .then(text.str.replace(",", ".", literal=True))
        .otherwise(text)
    )
    number = pointed.cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def parquet_columns_of(path: Path) -> list[str]:
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


_SCHEMA = {"file": pl.String, "line": pl.UInt32, "reason": pl.String, "value": pl.String}
_SHOWN_CHARACTERS = 200
"""Of a value: enough to find it by, and a rejects file that can be read."""


class Rejects:
    """Collected while tables are read; a row has one reason, the first that was found."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, int, str, str]] = []
        self._frames: list[pl.DataFrame] = []

    def add(self, path: Path, line: int, reason: str, value: str) -> None:
        """One row; `line` counts from 1, in a Parquet file it is the row."""
        self._rows.append((path.name, line, reason, value))

    def add_frame(self, frame: pl.DataFrame) -> None:
        """Rows with the columns `file`, `line`, `reason` and `value`."""
        self._frames.append(frame.select(pl.col(name).cast(x) for name, x in _SCHEMA.items()))

    @property
    def frame(self) -> pl.DataFrame:
        """All rows by file and line."""
        rows = pl.DataFrame(self._rows, schema=_SCHEMA, orient="row")
        return (
            pl.concat([rows, *self._frames])
            .with_columns(pl.col("value").str.slice(0, _SHOWN_CHARACTERS))
            .sort("file", "line")
        )

    def __len__(self) -> int:
        return len(self._rows) + sum(map(len, self._frames))


SEPARATORS = (",", "\t", ";", "|")
ATOMIC_SUFFIXES = frozenset({".inter", ".item", ".user"})
"""RecBole's; their headers carry types (`item_id:token`)."""
_TABBED_SUFFIXES = frozenset({".tsv", *ATOMIC_SUFFIXES})
_SAMPLE = 50
"""Records by which the separator is told."""
WRONG_FIELDS = "wrong number of fields"
BROKEN_QUOTES = "quotes that do not match"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How records are written."""

    separator: str
    quoted: bool
    """Whether a field may stand in double quotes, and then hold separators and line ends."""


class Record(NamedTuple):
    """One record, or why there is none."""

    line: int
    """On which it begins, from 1 on."""
    fields: list[str]
    """Of a faulty record, its first line."""
    fault: str | None = None


def dialect_of(path: Path, encoding: str, separator: str | None, quoted: bool | None) -> Dialect:
    """Tabs are told by the suffix, other separators by the first lines; DataError if they cannot.

    Fields between tabs are not quoted, by convention of those who write them.
    """
    if separator is None and plain_suffix(path) in _TABBED_SUFFIXES:
        separator = "\t"
    if separator is None:
        with text_lines(path, encoding) as lines:
            sample = list(islice(lines, _SAMPLE))
        if not any(line.strip() for line in sample):
            raise DataError(path, "is empty", "expected a header line with column names")
        separator = max(SEPARATORS, key=lambda candidate: _fit(sample, candidate))
        if _fit(sample, separator)[0] == 0:
            raise DataError(
                path,
                "has one column only (columns by commas, tabs, semicolons or bars were looked for)",
                'name the separator in a mapping, for example separator = "#"',
                line=1,
            )
    return Dialect(separator=separator, quoted=separator != "\t" if quoted is None else quoted)


def records(lines: Iterator[str], dialect: Dialect) -> Iterator[Record]:
    """Every record but blank lines; the first is the header, and all must be as long as it is."""
    again = _Again(lines)
    reader = _reader(again, dialect)
    width: int | None = None
    line = 1
    while True:
        again.taken.clear()
        fault = None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            fields, fault = [], BROKEN_QUOTES
        num_lines = len(again.taken)
        width = width or len(fields)
        if fault is None and fields and len(fields) != width:
            fault = WRONG_FIELDS if num_lines == 1 else BROKEN_QUOTES
        if fault is not None:
            fields = [again.taken[0].rstrip("\r\n")]
            again.give_back(again.taken[1:])
            num_lines, reader = 1, _reader(again, dialect)
        if fields:
            yield Record(line=line, fields=fields, fault=fault)
        line += num_lines


class _Again:
    """Lines of which the latest can be read once more."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._waiting: deque[str] = deque()
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else next(self._lines)
        self.taken.append(line)
        return line

    def give_back(self, lines: Sequence[str]) -> None:
        """Have these come next."""
        self._waiting.extendleft(reversed(lines))


def _reader(lines: Iterator[str], dialect: Dialect) -> Iterator[list[str]]:
    return csv.reader(
        lines,
        delimiter=dialect.separator,
        quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
        strict=True,
    )


def _fit(sample: Sequence[str], separator: str) -> tuple[float, int]:
    """How many records have the header's width, and that width; zero for a single column."""
    found = list(records(iter(sample), Dialect(separator=separator, quoted=True)))
    width = len(found[0].fields) if found else 0
    if width < 2:
        return 0, 0
    return sum(record.fault is None for record in found) / len(found), width
