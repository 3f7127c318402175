"""What items say about themselves, in columns, so that a condition is one comparison of an array.

An attribute may hold numbers for some items and texts for others: each kind has a column of its
own, and a condition looks at the kind of its value. A column holds only the items that have the
attribute. For a million items that is 8 bytes a number or title, 4 bytes a text and 1 a truth
value, 4 more where not every item has it, and each distinct text but titles once.

Letters: I items, N items that have an attribute, U distinct texts.
"""

from array import array
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.ops.process import with_pauses
from service.schemas.rules import Op, Scalar

Mask = NDArray[np.bool_]
Record = Mapping[str, Any]
"""An item's metadata."""
Kind = Literal["number", "text", "truth value"]
YEAR, TITLE = "year", "title"
"""A title is kept as a hash: titles are many, long and never compared but for equality."""
KINDS: tuple[Kind, ...] = ("number", "text", "truth value")
_KIND_OF: dict[type, Kind] = {bool: "truth value", int: "number", float: "number", str: "text"}
_TYPES: dict[Kind, Any] = {"number": np.float64, "text": np.int32, "truth value": np.bool_}
_FEW_TEXTS = 64
"""More new texts than that are sorted in together."""
_CODES: dict[Kind, str] = {"number": "d", "text": "i", "truth value": "b"}


def kind_of(value: object) -> Kind | None:
    """The kind of a value; None for one that no condition can be put on."""
    return _KIND_OF.get(type(value))


def attributes_of(record: Record) -> dict[str, Any]:
    """An item's attributes by name: those given as such, its year and its title."""
    given = record.get("attributes")
    found = dict(given) if isinstance(given, dict) else {}
    for name in (YEAR, TITLE):
        if name in record:
            found[name] = record[name]
    return found


_COMPARE = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """The values of one kind of one attribute."""

    kind: Kind
    rows_N: NDArray[np.int32] | None
    """Which items have one, ascending; None: the first N of the catalogue."""
    values_N: NDArray[Any]
    """Numbers, truth values, places in `texts`, or hashes of texts."""
    texts: Sequence[str] | None = None
    """Each once, in the order of their code points; None if `values_N` are no places."""

    def equal_to_any(self, values: Sequence[Scalar]) -> Mask:
        """Which of the N items have one of some values of the column's kind."""
        places = [place for place in map(self._place, values) if place is not None]
        alone = len(places) == 1  # a tenth of the time of `isin`
        mask_N: Mask = self.values_N == places[0] if alone else np.isin(self.values_N, places)
        return mask_N

    def ordered(self, op: Op, value: Any) -> Mask:
        """Which of the N items are below or above a value of the column's kind."""
        if self.texts is not None:  # they are in order: some first ones are below
            bisect = bisect_left if op in ("<", ">=") else bisect_right
            value, op = bisect(self.texts, value), "<" if op in ("<", "<=") else ">="
        mask_N: Mask = _COMPARE[op](self.values_N, value)
        return mask_N

    def _place(self, value: Scalar) -> Any:
        """As values of the column are; None for a text that no item has."""
        if self.texts is None:
            return _hash(value) if isinstance(value, str) else value
        text = str(value)
        place = bisect_left(self.texts, text)
        return place if place < len(self.texts) and self.texts[place] == text else None

    def spread(self, mask_N: Mask, mask_I: Mask) -> None:
        """Mark in `mask_I` the items that are marked among the N."""
        if self.rows_N is None:
            mask_I[: len(mask_N)] |= mask_N
        else:
            mask_I[self.rows_N[mask_N]] = True

    def places(self, rows_C: NDArray[np.int32]) -> NDArray[np.intp]:
        """Where the values of some items are; -1 for one that has none."""
        size = len(self.values_N)
        if self.rows_N is None:
            return np.where(rows_C < size, rows_C, -1).astype(np.intp)
        place_C = np.searchsorted(self.rows_N, rows_C)
        padded_N = self.rows_N[np.minimum(place_C, size - 1)]
        return np.where((place_C < size) & (padded_N == rows_C), place_C, -1)

    def changed(self, rows_C: NDArray[np.int32], values: Mapping[int, Scalar]) -> "Column":
        """The same with these values by row, and none for the others of some items."""
        column = self._with_texts(values.values())
        given_C = np.isin(rows_C, [*values])
        place_C = self.places(rows_C)
        new_C = np.array(
            [column._place(values[row]) for row in rows_C[given_C].tolist()],
            dtype=self.values_N.dtype,
        )
        values_N = column.values_N.copy()
        known_C = place_C[given_C] >= 0
        values_N[place_C[given_C][known_C]] = new_C[known_C]
        rows_N = self.rows_N
        gone, fresh_C = place_C[~given_C & (place_C >= 0)], rows_C[given_C][~known_C]
        if len(gone) or len(fresh_C):
            rows_N = np.arange(len(values_N), dtype=np.int32) if rows_N is None else rows_N
            rows_N, values_N = np.delete(rows_N, gone), np.delete(values_N, gone)
            at_C = np.searchsorted(rows_N, fresh_C)
            rows_N = _sparse(np.insert(rows_N, at_C, fresh_C))
            values_N = np.insert(values_N, at_C, new_C[~known_C])
        return replace(column, rows_N=rows_N, values_N=values_N)

    def _with_texts(self, values: Iterable[Scalar]) -> "Column":
        """The same, with room for these texts too."""
        if self.texts is None:
            return self
        new = {str(value) for value in values if self._place(value) is None}
        if not new:
            return self
        if len(new) > _FEW_TEXTS:
            texts = sorted([*self.texts, *new])
            place_of = {text: place for place, text in enumerate(texts)}
            place_U = np.array([place_of[text] for text in self.texts], dtype=np.int32)
            return replace(self, texts=texts, values_N=place_U[self.values_N])
        texts, place_U = list(self.texts), np.arange(len(self.texts), dtype=np.int32)
        for text in new:
            place_U += place_U >= bisect_left(texts, text)
            insort(texts, text)
        return replace(self, texts=texts, values_N=place_U[self.values_N])


def _hash(text: str) -> int:
    """64 bits, the same in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), signed=True)


def _sparse(rows_N: NDArray[np.int32]) -> NDArray[np.int32] | None:
    """None if they are the first N."""
    first = len(rows_N) == 0 or int(rows_N[-1]) == len(rows_N) - 1
    return None if first else rows_N


class _Growing:
    """A column that takes values by ascending row."""

    def __init__(self, kind: Kind, *, hashed: bool = False) -> None:
        self._kind: Kind = kind
        self._type = np.int64 if hashed else _TYPES[kind]
        self._place_of: dict[str, int] | None = None if hashed or kind != "text" else {}
        self._hashed = hashed
        self._rows = array("i")
        self._values = array("q" if hashed else _CODES[kind])

    def add(self, row: int, value: Any) -> None:
        """The value of one more row."""
        if self._place_of is not None:
            value = self._place_of.setdefault(value, len(self._place_of))
        elif self._hashed:
            value = _hash(value)
        self._rows.append(row)
        self._values.append(value)

    def column(self) -> Column:
        """What has been added."""
        rows_N = _sparse(np.array(self._rows, dtype=np.int32))
        values_N = np.array(self._values, dtype=self._type)
        if self._place_of is None:
            return Column(kind=self._kind, rows_N=rows_N, values_N=values_N)
        texts = sorted(self._place_of)
        place_U = np.empty(len(texts), dtype=np.int32)
        place_U[[self._place_of[text] for text in texts]] = np.arange(len(texts))
        return Column(kind=self._kind, rows_N=rows_N, values_N=place_U[values_N], texts=texts)


class AttributesBuilder:
    """Takes the metadata of items by ascending row."""

    def __init__(self) -> None:
        self._growing: dict[tuple[str, Kind], _Growing] = {}

    def add(self, row: int, record: Record) -> None:
        """The metadata of one more row."""
        for name, value in attributes_of(record).items():
            if (kind := kind_of(value)) is not None:
                key = name, kind
                if key not in self._growing:
                    self._growing[key] = _Growing(kind, hashed=name == TITLE)
                self._growing[key].add(row, value)

    def attributes(self) -> "Attributes":
        """What has been added."""
        return Attributes({key: growing.column() for key, growing in self._growing.items()})


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of all items; safe to share by threads, for it never changes."""

    columns: Mapping[tuple[str, Kind], Column]
    """By name and kind; none is empty."""

    def kinds(self, name: str) -> list[Kind]:
        """What kinds of values the attribute has; none if no item has it."""
        return [kind for kind in KINDS if (name, kind) in self.columns]

    def equal_to_any(self, name: str, values: Sequence[Scalar], num_items: int) -> Mask:
        """The items whose attribute is one of some values [I]."""
        mask_I = np.zeros(num_items, dtype=np.bool_)
        for kind in self.kinds(name):
            if same := [value for value in values if kind_of(value) == kind]:
                column = self.columns[name, kind]
                column.spread(column.equal_to_any(same), mask_I)
        return mask_I

    def ordered(self, name: str, op: Op, value: Scalar, num_items: int) -> Mask:
        """The items whose attribute is below or above a value of the same kind [I]."""
        mask_I = np.zeros(num_items, dtype=np.bool_)
        kind = kind_of(value)
        if kind is not None and (column := self.columns.get((name, kind))) is not None:
            column.spread(column.ordered(op, value), mask_I)
        return mask_I

    def present(self, name: str, num_items: int) -> Mask:
        """The items that have the attribute [I]."""
        mask_I = np.zeros(num_items, dtype=np.bool_)
        for kind in self.kinds(name):
            column = self.columns[name, kind]
            column.spread(np.ones(len(column.values_N), dtype=np.bool_), mask_I)
        return mask_I

    def changed(self, records_by_row: Mapping[int, Record]) -> "Attributes":
        """The same with other metadata of some items, also of items behind the last one.

        A column that none of these items has, before or after, is shared. Another one is copied
        once, however many of them change: five milliseconds for a million items.
        """
        values: defaultdict[tuple[str, Kind], dict[int, Scalar]] = defaultdict(dict)
        for row, record in with_pauses(records_by_row.items()):
            for name, value in attributes_of(record).items():
                if (kind := kind_of(value)) is not None:
                    values[name, kind][row] = value
        rows_C = np.array(sorted(records_by_row), dtype=np.int32)
        columns = dict(self.columns)
        for key in self.columns.keys() | values.keys():
            name, kind = key
            column = columns.get(key) or _Growing(kind, hashed=name == TITLE).column()
            if key in values or (column.places(rows_C) >= 0).any():
                columns[key] = column.changed(rows_C, values.get(key, {}))
        return Attributes({key: each for key, each in columns.items() if len(each.values_N)})
