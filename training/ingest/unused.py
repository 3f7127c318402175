"""What is given to an import and not used: files, and columns of the files that are."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from model.artifact.files import SUFFIXES
from training.ingest.mapping import Mapping
from training.ingest.sources import NAMED_ONLY, SAVE_SHEETS, SHEET_SUFFIXES, Given, Source

_MOST = 12
"""Columns that one line names."""


def unused(given: Given, mapping: Mapping, sources: Sequence[Source]) -> Iterator[str]:
    """A line for each file that was passed over, and for the columns that a file is not read for.

    Args:
        given: the files.
        mapping: what is read.
        sources: the tables that are read.
    """
    for path in given.passed_over:
        if not path.is_file() or path.suffix.lower() not in SUFFIXES:
            yield f"{path.name}: {_why(path)}"
    tables = [x for x in (mapping.interactions, mapping.items) if x is not None]
    for source in {source.path: source for source in sources}.values():
        named = {
            name for table in tables if given.of_table(source.path, table) for name in table.named
        }
        left = [name for name in source.names if name not in named and source.is_named(name)]
        if left:
            more = f" and {len(left) - _MOST} more" if len(left) > _MOST else ""
            yield f"columns of {source.path.name}: {', '.join(left[:_MOST])}{more}"
        for name in source.vectors:
            yield f"column {name!r} of {source.path.name}: vectors are read from *_feat.npy only"


def _why(path: Path) -> str:
    suffix = path.suffix.lower()
    if path.is_dir():
        return "a folder in a folder is not read; give it too"
    if not path.is_file():
        return "no file, or a link to none"
    if suffix in SHEET_SUFFIXES:
        return f"a spreadsheet is not read; {SAVE_SHEETS}"
    if suffix in NAMED_ONLY:
        return "not read from a folder; if it is a table, give it by name"
    return "of no format that can be read"
