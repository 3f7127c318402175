"""Tables as shops export them: text of many dialects, JSON of many shapes, Parquet."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import polars as pl

DELIMITED = ("csv", "csv", "csv", "tsv", "txt", "csv.gz")
NESTING = ("json", "jsonl", "jsonl.gz", "parquet")
KINDS = (*DELIMITED, *NESTING)
FOREIGN = ("cp1252", "latin-1", "cp1250", "cp1254")
"""Encodings that a file does not show."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table."""

    name: str
    cells: list[object]
    """Text, numbers, lists of text, or None."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """How one file is written."""

    kind: str
    encoding: str = "utf-8"
    separator: str = ","
    newline: str = "\n"
    quoting: int = csv.QUOTE_MINIMAL
    spare: int = 0
    """Empty columns at the end, header included, as spreadsheets leave them."""
    blank_lines: bool = False
    listed: str = "|"
    """What stands between values of a list; `json` for a list in JSON."""
    escaped: bool = False
    """Whether quotes in quotes are escaped by a backslash, as MySQL does, and not doubled."""
    first: str = ""
    """A line above the header."""
    last: str = ""
    """A line below the rows."""
    wrapped: bool = False
    """Whether the list of objects stands in another object."""

    def __str__(self) -> str:
        text = f" {self.encoding} {self.separator!r}" if self.kind in DELIMITED else ""
        return f"{self.kind}{text}"


def draw_format(random: Random, kind: str) -> Format:
    """A format for a kind of file."""
    if kind not in DELIMITED:
        return Format(kind=kind, listed="json", wrapped=random.random() < 0.1)
    separator = "\t" if kind == "tsv" else random.choice([",", ",", ";", "|", "\t"])
    return Format(
        kind=kind,
        encoding=random.choice(["utf-8"] * 8 + ["utf-8-sig", "utf-16", "utf-16-le", *FOREIGN]),
        separator=separator,
        newline=random.choice(["\n", "\n", "\n", "\r\n", "\r\n", "\r"]),
        quoting=csv.QUOTE_NONE
        if kind == "tsv"
        else random.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        spare=random.choice([0, 0, 0, 2]),
        blank_lines=random.random() < 0.1,
        listed=random.choice(["|", ", ", ";", "json"]),
        escaped=separator != "\t" and random.random() < 0.05,
        first=random.choice([""] * 30 + ["Export of 2025-03-01", "sep="]),
        last=random.choice([""] * 30 + ["Total", "# end of file"]),
    )


def exact(form: Format, categories: Sequence[Sequence[str]]) -> Format:
    """A format by which a category with a comma can be told from two of them."""
    commas = any("," in category for each in categories for category in each)
    if form.kind not in DELIMITED or not commas or form.listed == "json":
        return form
    single = all(len(each) < 2 for each in categories)
    return replace(form, listed="json" if single else "|")


def write_table(columns: Sequence[Column], form: Format, stem: Path) -> Path:
    """Write one file; UnicodeEncodeError if the encoding lacks a letter."""
    path = stem.with_name(f"{stem.name}.{form.kind}")
    if form.kind == "parquet":
        _parquet(columns, path)
        return path
    text = _delimited(columns, form) if form.kind in DELIMITED else _json(columns, form)
    content = text.encode(form.encoding)
    path.write_bytes(gzip.compress(content) if form.kind.endswith(".gz") else content)
    return path


def _delimited(columns: Sequence[Column], form: Format) -> str:
    out = io.StringIO()
    names = [column.name for column in columns] + [""] * form.spare
    rows = [[_cell(cell, form) for cell in row] + [""] * form.spare for row in _rows(columns)]
    first = f"sep={form.separator}" if form.first == "sep=" else form.first
    first, last = (line + form.newline if line else "" for line in (first, form.last))
    if form.quoting == csv.QUOTE_NONE:
        lines = [form.separator.join(row) for row in [names, *rows]]
        return first + "".join(line + form.newline for line in lines) + last
    writer = csv.writer(
        out,
        delimiter=form.separator,
        lineterminator=form.newline,
        quoting=form.quoting,
        doublequote=not form.escaped,
        escapechar="\\" if form.escaped else None,
    )
    writer.writerow(names)
    for place, row in enumerate(rows):
        writer.writerow(row)
        if form.blank_lines and place % 20 == 3:
            out.write(form.newline)
    return first + out.getvalue() + last


def _rows(columns: Sequence[Column]) -> list[tuple[object, ...]]:
    return list(zip(*(column.cells for column in columns), strict=True))


def _cell(cell: object, form: Format) -> str:
    if isinstance(cell, list):
        return (
            json.dumps(cell, ensure_ascii=False)
            if form.listed == "json"
            else form.listed.join(cell)
        )
    return "" if cell is None else str(cell)


def _records(columns: Sequence[Column]) -> list[dict[str, object]]:
    """Objects; a name with dots is an object in the object."""
    records = []
    for row in _rows(columns):
        record: dict[str, object] = {}
        for column, cell in zip(columns, row, strict=True):
            *outer, last = column.name.split(".")
            place = record
            for name in outer:
                place = place.setdefault(name, {})  # type: ignore[assignment]
            place[last] = cell
        records.append(record)
    return records


def _json(columns: Sequence[Column], form: Format) -> str:
    records = _records(columns)
    if form.kind == "json":
        whole = {"count": len(records), "data": records} if form.wrapped else records
        return json.dumps(whole, ensure_ascii=False, indent=2)
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _parquet(columns: Sequence[Column], path: Path) -> None:
    pl.DataFrame(_records(columns), infer_schema_length=None).write_parquet(path)
