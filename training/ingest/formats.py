"""Text files, compressed or not and in any encoding, and delimited text in them.

How a file is compressed is told by its first bytes: names are often wrong.

A quote that is never closed, or closed too late, costs the line on which it stands and no other.
"""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple, cast

from training.data.tables import DataError

DEFAULT_ENCODING = "utf-8"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_COMPRESSED: Mapping[str, tuple[Callable[[Path], object], bytes]] = {
    ".gz": (gzip.open, rb"\x1f\x8b"),
    ".bz2": (bz2.open, rb"BZh[1-9]1AY&SY"),
    ".xz": (lzma.open, rb"\xfd7zXZ\x00"),
}
"""By suffix: what opens such a file, and how its content begins."""
COMPRESSED_SUFFIXES = ", ".join(_COMPRESSED)
_CONVERT = "write it as CSV or Parquet, for example with pandas"
_FOREIGN = (
    (rb"PAR1", "Parquet", "name it .parquet"),
    (rb"PK\x03\x04", "a zip archive or a spreadsheet", "unpack it, or save each sheet as .csv"),
    (rb"\xd0\xcf\x11\xe0", "a spreadsheet", "save each sheet as .csv"),
    (rb"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it: zstd -d"),
    (rb"(?s:.{257})ustar", "an archive", "unpack it: tar -xf"),
    (
        rb"SQLite format 3",
        "an SQLite database",
        "write each table as CSV: sqlite3 -header -csv FILE 'select * from TABLE' > TABLE.csv",
    ),
    (rb"%%MatrixMarket", "a matrix", "write one row for each entry: a user, an item, a value"),
    (rb"ARROW1", "Arrow (Feather)", _CONVERT),
    (rb"Obj\x01", "Avro", _CONVERT),
    (rb"ORC", "ORC", _CONVERT),
    (rb"\x89HDF", "HDF5", _CONVERT),
    (rb"\x93NUMPY", "an array of NumPy", _CONVERT),
    (rb"(?:\xef\xbb\xbf)?\s*<\?xml", "XML, perhaps an error of a server", _CONVERT),
    (rb"(?i)\s*<(?:!doctype )?html", "a web page, perhaps an error of a server", "get it again"),
    (rb"version https://git-lfs", "what Git LFS keeps in its place", "get it: git lfs pull"),
)
"""How content begins that is no table of text, what it is, and what to do."""
_FIRST_BYTES, _READ_BYTES = 1024, 2**20

SEPARATORS = (",", "\t", ";", "|", "::")
ATOMIC_SUFFIXES = frozenset({".inter", ".item", ".user"})
"""RecBole's; their headers carry types (`item_id:token`)."""
_TABBED_SUFFIXES = frozenset({".tsv", *ATOMIC_SUFFIXES})
_SAID = re.compile(r"sep=(\S|\t)\s*$", re.IGNORECASE)
_UNUSED = "\x1f"
"""ASCII's unit separator: stands for a separator of several characters."""
_HEADING = re.compile(r"\d+:")
_ROW_OF_MANY = re.compile(r"\S+(?: \d+(?::[\d.]+)?)+")
"""A user and items, or a number and items with values (LIBSVM)."""
ONE_EACH = "write one row for each of them: every row is one choice of one item by one user"
_SAMPLE = 1000
"""How many lines are read to find out how records are written."""
_MOST_SKIPPED = 5
"""Lines above a header."""
_FITTING = 0.9
"""Share of lines that must be as wide as a header below other lines."""

WRONG_FIELDS = "wrong number of fields"
BROKEN_QUOTES = "quotes that do not match"
NOT_AN_OBJECT = "not a JSON object"
REPEATED_NAME = "two values of one name"
UNREADABLE = (WRONG_FIELDS, BROKEN_QUOTES, NOT_AN_OBJECT, REPEATED_NAME)
"""Reasons for which a record has no fields at all."""


def plain_suffix(path: Path) -> str:
    """The suffix in lower case, without that of the compression: `.csv` of `Ratings.CSV.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


@contextmanager
def text_lines(path: Path, encoding: str) -> Iterator[Iterator[str]]:
    """Lines with their ends, exactly as they are in the file; a byte order mark is left out.

    A UTF-8 file is read as UTF-8 even if another encoding is named: that may hold for other files.

    Raises:
        DataError: the file cannot be read, is damaged, or is not in this encoding.
    """
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise DataError(
            path,
            f"cannot be read as {encoding!r}, which is no encoding",
            "name one, such as utf-8, cp1252 or latin-1",
        ) from error
    try:
        with _bytes(path) as content:
            _check_text(path, content)
            with _decoded(content, encoding) as text:
                yield text
    except UnicodeError as error:
        raise _not_encoded(path, encoding) from error
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise DataError(path, f"is damaged ({error})", "get it again, or unpack it") from error
    except OSError as error:
        if error.strerror is None:  # of bz2
            raise DataError(path, f"is damaged ({error})", "get it again") from error
        raise DataError(
            path, f"cannot be read ({error.strerror})", "check its path and permissions"
        ) from error


def _bytes(path: Path) -> IO[bytes]:
    content = path.open("rb")
    first = content.read(_FIRST_BYTES)
    content.seek(0)
    for opened, beginning in _COMPRESSED.values():
        if re.match(beginning, first):
            content.close()
            return cast(IO[bytes], opened(path))
    return content


def _check_text(path: Path, content: IO[bytes]) -> None:
    """DataError for a known format that is no text."""
    first = content.read(_FIRST_BYTES)
    content.seek(0)
    for beginning, what, remedy in _FOREIGN:
        if re.match(beginning, first):
            raise DataError(path, f"is {what}, by its content", remedy)


def _decoded(content: IO[bytes], encoding: str) -> io.TextIOWrapper:
    first = content.read(_FIRST_BYTES)
    content.seek(0)
    if (unmarked := _utf16_of(first)) is not None:
        encoding = unmarked
    elif encoding == DEFAULT_ENCODING or _is_unicode(content):
        encoding = "utf-16" if first[:2] in _UTF16_MARKS else "utf-8-sig"
    buffered = io.BufferedReader(cast(io.RawIOBase, content))
    return io.TextIOWrapper(buffered, encoding=encoding, newline="")


def _utf16_of(first: bytes) -> str | None:
    """UTF-16 without a mark, by the zeros in every other byte of most letters; else None."""
    if first[:2] in _UTF16_MARKS:
        return None
    for place, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = first[place::2].count(0), first[1 - place :: 2].count(0)
        if others == 0 and 2 * zeros > len(first[place::2]) > 0:
            return encoding
    return None


def _is_unicode(content: IO[bytes]) -> bool:
    """Whether all is UTF-8, or marked as UTF-16: text in another encoding hardly ever is."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How delimited records are written."""

    separator: str
    quoted: bool
    """Whether a field may stand in double quotes, and then hold separators and line ends."""
    skipped: int = 0
    """Lines before the first record: one that names the separator for a spreadsheet, or a title."""
    escaped: bool = False
    """Whether a quote in quotes is written as `\\"`; else it is doubled."""


class Record(NamedTuple):
    """One delimited record, or why there is none."""

    line: int
    """Number of its first line, from 1 on."""
    fields: list[str]
    """Fields of the record; for a faulty one, its first line."""
    fault: str | None = None


def dialect_of(path: Path, encoding: str, separator: str | None, quoted: bool | None) -> Dialect:
    """Tabs are known by the suffix, other separators by the first lines; DataError if neither.

    By convention, fields between tabs are not quoted; spreadsheets quote some of them all the same.
    Lines above the header that have no separator are skipped.
    """
    with text_lines(path, encoding) as lines:
        sample = list(islice(lines, _SAMPLE))
    skipped = 0
    if separator is None and sample and (said := _SAID.match(sample[0])):
        separator, skipped = said[1], 1
    if separator is None:
        separator, skipped = _separator(path, sample)
    dialect = Dialect(separator=separator, quoted=True, skipped=skipped)
    escaped = _is_escaped(sample, dialect)
    if quoted is None:
        quoted = len(separator) == 1 and (separator != "\t" or _quotes(path, sample, dialect))
    return replace(dialect, quoted=quoted, escaped=quoted and escaped)


def _separator(path: Path, sample: Sequence[str]) -> tuple[str, int]:
    """What stands between fields, and how many lines before the header; DataError if not found."""
    if not any(line.strip() for line in sample):
        raise DataError(path, "is empty", "expected a header line with column names")
    tabbed = plain_suffix(path) in _TABBED_SUFFIXES
    if _HEADING.fullmatch(sample[0].strip()):
        raise DataError(
            path,
            f"has an item on a line of its own ({sample[0].strip()}), as Netflix's files",
            "put it into each row: awk -F: 'NF==2{i=$1;next}{print i\",\"$0}' FILE > NEW.csv",
            line=1,
        )
    for skipped in range(_MOST_SKIPPED + 1):
        rest = sample[skipped:]
        separator = "\t" if tabbed else max(SEPARATORS, key=lambda mark: _fit(rest, mark))
        if _fit(rest, separator)[0] >= _FITTING or (skipped == 0 and _fit(rest, separator)[0] > 0):
            return separator, skipped
    if tabbed:
        return "\t", 0
    many = [bool(_ROW_OF_MANY.fullmatch(line.strip())) for line in sample]
    is_spaced = _fit(sample, " ")[0] >= _FITTING
    if sum(many) >= _FITTING * len(sample) and (not is_spaced or ":" in sample[0]):
        raise DataError(path, "has many items on one line", ONE_EACH, line=1)
    if is_spaced:
        return " ", 0
    raise DataError(
        path,
        "has one column only (looked for commas, tabs, semicolons, bars and ::)",
        'name the separator in a mapping, for example separator = "#"',
        line=1,
    )


def _quotes(path: Path, sample: Sequence[str], dialect: Dialect) -> bool:
    """Whether fields between tabs stand in quotes: some begin with one, and all of these are whole.

    RecBole's never do.
    """
    if plain_suffix(path) in ATOMIC_SUFFIXES:
        return False
    if not any(field.startswith('"') for line in sample for field in line.split("\t")):
        return False
    return all(record.fault != BROKEN_QUOTES for record in records(iter(sample), dialect))


def _is_escaped(sample: Sequence[str], dialect: Dialect) -> bool:
    """Whether a quote in quotes has a backslash before it, as in MySQL, and is not doubled."""
    if len(dialect.separator) > 1 or not any('\\"' in line for line in sample):
        return False
    doubled, escaped = (
        sum(record.fault is not None for record in records(iter(sample), each))
        for each in (dialect, replace(dialect, escaped=True))
    )
    return escaped < doubled or (escaped == doubled and not any('""' in x for x in sample))


def _fit(sample: Sequence[str], separator: str) -> tuple[float, int]:
    """Share of records that have the header's width, and that width; zero for a single column."""
    found = list(records(iter(sample), Dialect(separator=separator, quoted=True)))
    width = len(found[0].fields) if found else 0
    if width < 2:
        return 0, 0
    return sum(record.fault is None for record in found) / len(found), width


def records(lines: Iterator[str], dialect: Dialect) -> Iterator[Record]:
    """All records but blank lines; the first is the header, and all must have as many fields."""
    for _ in range(dialect.skipped):
        next(lines, None)
    source = _PushbackLines(lines)
    reader = _reader(source, dialect)
    width: int | None = None
    line = 1 + dialect.skipped
    while True:
        source.taken.clear()
        fault = None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            fields, fault = [], BROKEN_QUOTES
        num_lines = len(source.taken)
        width = width or len(fields)
        if fault is None and fields and len(fields) != width:
            fault = WRONG_FIELDS if num_lines == 1 else BROKEN_QUOTES
        if fault is not None:
            fields = [source.taken[0].rstrip("\r\n")]
            source.waiting.extendleft(reversed(source.taken[1:]))
            num_lines, reader = 1, _reader(source, dialect)
        if fields:
            yield Record(line=line, fields=fields, fault=fault)
        line += num_lines


class _PushbackLines:
    """Lines of which the latest can be put back, to be read once more."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.waiting: deque[str] = deque()
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.waiting.popleft() if self.waiting else next(self._lines)
        self.taken.append(line)
        return line


def _reader(lines: Iterator[str], dialect: Dialect) -> Iterator[list[str]]:
    mark = dialect.separator
    if len(mark) > 1:  # csv knows single characters only
        lines, mark = (line.replace(dialect.separator, _UNUSED) for line in lines), _UNUSED
    return csv.reader(
        lines,
        delimiter=mark,
        quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
        doublequote=not dialect.escaped,
        escapechar="\\" if dialect.escaped else None,
        strict=True,
    )
