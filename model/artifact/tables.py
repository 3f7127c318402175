"""Strings as two arrays, so that ids and titles travel like any tensor and are memory-mapped."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray


class StringTable(Sequence[str]):
    """An immutable sequence of strings over `blob` (uint8, UTF-8) and `offsets` (int64, N + 1)."""

    __slots__ = ("_bytes", "_starts", "blob", "offsets")

    def __init__(self, blob: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(blob):
            raise ValueError("string table is damaged: its offsets do not span its bytes")
        self.blob = blob
        self.offsets = offsets
        # Views of the same memory, whose parts cost a fifth of those of arrays.
        self._bytes = np.asarray(blob).data
        self._starts = np.asarray(offsets, dtype=np.int64).data

    @classmethod
    def of(cls, strings: Iterable[str]) -> Self:
        """Build a table from strings, in the order given."""
        encoded = [s.encode() for s in strings]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(e) for e in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def raw(self, row: int) -> bytes:
        """The UTF-8 bytes of one row."""
        return self._bytes[self._starts[row] : self._starts[row + 1]].tobytes()

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        if not 0 <= row < len(self):
            raise IndexError(row)
        return self._text(row)

    def _text(self, row: int) -> str:
        return self.raw(row).decode()


BLANK = 0xFF
"""A byte that no UTF-8 text has: all bytes of an id that was blanked."""
_BLANK = bytes([BLANK])
_BLOCK = 2**20


class IdTable(StringTable):
    """Distinct external ids in UTF-8 byte order; the position of an id is its row everywhere.

    An id is found by bisection, without a dictionary in memory. A blanked id is never found, and
    reads as an empty text.
    """

    __slots__ = ("_place",)

    def __init__(self, blob: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        super().__init__(blob, offsets)
        blocks = (blob[start : start + _BLOCK] for start in range(0, len(blob), _BLOCK))
        has_blanks = any((block == BLANK).any() for block in blocks)
        self._place = self._before if has_blanks else self.raw

    @classmethod
    def of(cls, strings: Iterable[str]) -> Self:
        """Build from ids that are already distinct and sorted; ValueError otherwise."""
        ids = list(strings)
        if any(a >= b for a, b in pairwise(ids)):
            raise ValueError("ids must be distinct and sorted")
        return super().of(ids)

    def row(self, external_id: str) -> int | None:
        """The row of an id, or None for one that is not here. O(log N), some microseconds."""
        raw = external_id.encode()
        row = self.first_from(raw)
        return row if row < len(self) and self.raw(row) == raw else None

    def first_from(self, raw: bytes) -> int:
        """The first row whose id is not before some bytes; the number of rows if all are."""
        return bisect_left(range(len(self)), raw, key=self._place)

    def is_blank(self, row: int) -> bool:
        """Whether the id of a row was blanked."""
        return self.raw(row).startswith(_BLANK)

    def _text(self, row: int) -> str:
        return "" if self.is_blank(row) else super()._text(row)

    def _before(self, row: int) -> bytes:
        """Where a row stands in the order: a blanked one right behind the id before it."""
        while row >= 0 and self.is_blank(row):
            row -= 1
        return self.raw(row) if row >= 0 else b""
