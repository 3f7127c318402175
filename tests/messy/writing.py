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

    def __str__(self) -> str:
        text = f" {self.encoding} {self.separator!r}" if self.kind in DELIMITED else ""
        return f"{self.kind}{text}"


def draw_format(random: Random, kind: str) -> Format:
    """A format for a kind of file."""
    if kind not in DELIMITED:
        return Format(kind=kind, listed="json")
    separator = "\t" if kind == "tsv" else random.choice([",", ",", ";", "|", "\t"])
    return Format(
        kind=kind,
        encoding=random.choice(["utf-8"] * 4 + ["utf-8-sig", "utf-16", "cp1252", "latin-1"]),
        separator=separator,
        newline=random.choice(["\n", "\r\n"]),
        quoting=csv.QUOTE_NONE
        if kind == "tsv"
        else random.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        spare=random.choice([0, 0, 0, 2]),
        blank_lines=random.random() < 0.1,
        listed=random.choice(["|", ", ", ";", "json"]),
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
    text = _delimited(columns, form) if form.kind in DELIMITED else _json(columns, form.kind)
    content = text.encode(form.encoding)
    path.write_bytes(gzip.compress(content) if form.kind.endswith(".gz") else content)
    return path


def _delimited(columns: Sequence[Column], form: Format) -> str:
    out = io.StringIO()
    names = [column.name for column in columns] + [""] * form.spare
    rows = [[_cell(cell, form) for cell in row] + [""] * form.spare for row in _rows(columns)]
    if form.quoting == csv.QUOTE_NONE:
        lines = [form.separator.join(row) for row in [names, *rows]]
        return "".join(line + form.newline for line in lines)
    writer = csv.writer(
        out, delimiter=form.separator, lineterminator=form.newline, quoting=form.quoting
    )
    writer.writerow(names)
    for place, row in enumerate(rows):
        writer.writerow(row)
        if form.blank_lines and place % 20 == 3:
            out.write(form.newline)
    return out.getvalue()


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


def _json(columns: Sequence[Column], kind: str) -> str:
    records = _records(columns)
    if kind == "json":
        return json.dumps(records, ensure_ascii=False, indent=2)
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _parquet(columns: Sequence[Column], path: Path) -> None:
    pl.DataFrame(_records(columns), infer_schema_length=None).write_parquet(path)
