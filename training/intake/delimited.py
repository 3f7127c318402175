"""Records of a file whose fields are separated by a character: CSV, TSV and their relatives.

Knows separators, quotes and lines; knows nothing about what a field means. A quote that is never
closed, or closed too late, costs the line that it stands on and no other.
"""

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from training.intake.text_lines import plain_suffix, text_lines
from training.tables import DataError

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
