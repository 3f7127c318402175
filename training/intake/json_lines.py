"""Records of a JSON Lines file: one object per line.

Knows JSON; knows nothing about what a field means. Objects within objects become columns with
dots in their names, lists of values become values with bars between them.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from training.intake.text_lines import text_lines
from training.tables import DataError

_SAMPLE = 1000
"""Records whose keys are the columns."""
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
NOT_AN_OBJECT = "not a JSON object"


def columns_of(path: Path, encoding: str) -> list[str]:
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
            for _, fields in islice(objects(lines), _SAMPLE)
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
