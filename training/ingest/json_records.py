"""JSON as records: one object per line, or objects over several lines, or one list of objects.

The list may stand in an object, as programs answer. A line may be an object as Python prints it,
with single quotes, as in Amazon's older reviews.

Objects within objects become columns with dots in their names, and lists become values with bars
between them.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path

from training.data.tables import DataError
from training.ingest.formats import text_lines
from training.ingest.values import labels

_OF_ROWS = "write an object for each row; pandas: to_json(path, orient='records', lines=True)"
_SAMPLE = 1000
"""How many records are read to find the columns."""


class Repeated(str):
    """The values of a name that an object has more than once, where they differ, as they stand."""

    last: object


_WRAPPED = frozenset({"$oid", "$date", "$numberInt", "$numberLong", "$numberDouble"})
"""MongoDB's Extended JSON: an object of one such name stands for a value."""
_SINCE_1970 = frozenset({"_seconds", "_nanoseconds"})
"""A moment of Firestore."""


def _object(pairs: list[tuple[str, object]]) -> object:
    found = dict(pairs)
    if found.keys() == _SINCE_1970:
        return found["_seconds"]
    if len(pairs) == 1 and pairs[0][0] in _WRAPPED:
        return pairs[0][1]
    if len(found) < len(pairs):
        for name in {name for name, value in pairs if value != found[name]}:
            values = (json.dumps(value) for each, value in pairs if each == name)
            repeated = Repeated(f"{name}: {', '.join(values)}")
            repeated.last = found[name]
            found[name] = repeated
    return found


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, object_pairs_hook=_object)
_PYTHON = re.compile(r"\{\s*[uU]?'")
_MOST_OF_PYTHON = 2**20
"""Characters of one line: reading it takes some hundred times as many bytes."""
_LIST = re.compile(r"\[\s*(?:\{|$)")
_BETWEEN = re.compile(r"[\s,\[\]]*")
_MOST_CHARACTERS = 2**24
"""Longest object that spans several lines; more text without an end is not an object."""


def json_columns_of(path: Path, encoding: str) -> dict[str, bool]:
    """Keys of the first records in their order, and whether lists stand there.

    Raises:
        DataError: there are none.
    """
    names: dict[str, bool] = {}
    with text_lines(path, encoding) as lines:
        first = [fields for _, fields in islice(objects(lines, path), _SAMPLE)]
        if len(first) == 1 and _is_of_columns(first[0]):
            raise DataError(path, "is one object, which would be one row", _OF_ROWS)
        for fields in first:
            if isinstance(fields, dict):
                for name in _columns("", fields):
                    is_list = isinstance(_value_of(fields, name), list)
                    names[name] = names.get(name, False) or is_list
    if not names:
        raise DataError(
            path,
            "has no JSON object on any of its first lines",
            'expected objects such as {"user": "u1", "item": "i1"}, one per line or in one list',
            line=1,
        )
    return names


def objects(lines: Iterator[str], path: Path) -> Iterator[tuple[int, dict[str, object] | str]]:
    """Place and object, its numbers as they are written; what is no object as it is.

    The place is the line, or the number of the object where several may stand on one line.

    Raises:
        DataError: one list, or objects over several lines, that cannot be read to the end.
    """
    before, rest = [], iter(lines)
    for line in rest:
        before.append(line)
        if line.strip():
            break
    first = before[-1].strip() if before else ""
    decoded = _decoded(first)
    if isinstance(decoded, dict) and not _listed(decoded):
        yield from _by_line(chain(before, rest))
    elif isinstance(decoded, dict) or (first.startswith("{") and first[-1] in "{[,"):
        yield from _wrapped(chain(before, rest), path)
    elif _LIST.match(first):
        yield from _spread(chain(before, rest), path)
    else:
        yield from _by_line(chain(before, rest))


def _listed(value: object) -> list[dict[str, object]]:
    """The only list of objects in an object, as programs answer; empty if there is none."""
    if not isinstance(value, dict):
        return []
    lists = [x for x in value.values() if isinstance(x, list) and x and isinstance(x[0], dict)]
    others = [x for x in value.values() if isinstance(x, list | dict)]
    return lists[0] if len(lists) == len(others) == 1 else []


def _wrapped(lines: Iterator[str], path: Path) -> Iterator[tuple[int, dict[str, object] | str]]:
    """The objects of a list in one object that is all there is, or else of several objects."""
    start, length = [], 0
    for line in lines:
        start.append(line)
        length += len(line)
        if length > _MOST_CHARACTERS:
            break
    listed = _listed(_decoded("".join(start)))
    if listed:
        yield from enumerate(listed, start=1)
    else:
        yield from _spread(chain(start, lines), path)


def _by_line(lines: Iterator[str]) -> Iterator[tuple[int, dict[str, object] | str]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            value = _decoded(line)
            yield number, value if isinstance(value, dict) else line.strip()


def _decoded(text: str) -> object:
    """What a text says in JSON or in Python; None if it is neither."""
    for read in (_DECODER.decode, _of_python):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def _of_python(text: str) -> object:
    bare = text.strip()
    if not _PYTHON.match(bare) or len(bare) > _MOST_OF_PYTHON:
        raise ValueError(text)
    value = ast.literal_eval(bare)
    return {str(name): each for name, each in value.items()} if isinstance(value, dict) else value


def _spread(lines: Iterator[str], path: Path) -> Iterator[tuple[int, dict[str, object] | str]]:
    """Objects wherever they begin and end, with commas and the brackets of a list between them."""
    text, line, place, count = "", 1, 0, 0
    for more in lines:
        text, place = text[place:] + more, 0
        while place < len(text) <= _MOST_CHARACTERS + len(more):
            begin = _BETWEEN.match(text, place).end()  # type: ignore[union-attr]
            line += text.count("\n", place, begin)
            place = begin
            try:
                value, end = _DECODER.raw_decode(text, place)
            except (ValueError, RecursionError):
                break  # it goes on in the next line
            count += 1
            yield count, value if isinstance(value, dict) else text[place:end]
            line += text.count("\n", place, end)
            place = end
    if rest := text[place:].strip():
        remedy = "write one object on each line, or JSON" if _PYTHON.match(rest) else "repair it"
        raise DataError(path, "cannot be read as JSON from here on", remedy, line=line)


def text_of(fields: Mapping[str, object], column: str) -> str:
    """The value of a column of an object, empty if there is none; all of them if `Repeated`."""
    return _text(_value_of(fields, column))


def _value_of(fields: Mapping[str, object], column: str) -> object:
    value = fields.get(column)
    if value is None and "." in column:
        outer, _, inner = column.partition(".")
        value = fields.get(outer)
        if isinstance(value, dict):
            return _value_of(value, inner)
        return value if isinstance(value, Repeated) else None
    return value


def _columns(prefix: str, fields: Mapping[str, object]) -> Iterator[str]:
    for name, value in fields.items():
        inner = value.last if isinstance(value, Repeated) else value
        if isinstance(inner, dict):
            yield from _columns(f"{prefix}{name}.", inner)
        else:
            yield prefix + name


def _is_of_columns(fields: object) -> bool:
    """Whether each of its values holds several, as a table has that is written by columns."""
    return isinstance(fields, dict) and all(isinstance(x, list | dict) for x in fields.values())


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list | tuple | set):
        return "|".join(labels(value))
    return json.dumps(value, ensure_ascii=False, default=str)
