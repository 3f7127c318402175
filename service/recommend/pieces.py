"""Rows of JSON from pieces that are added from left to right: texts, and numbers.

So that no object is made for a part of a row; `model.runtime.native.join` writes the rows.

Letters: C rows, X parts of a list within a row, W pieces of one column, S pieces of a row.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.runtime.native.join import joined

Codes = NDArray[np.int32]
"""Texts by their number; the text 0 is empty."""
Piece = str | Codes | NDArray[np.integer] | NDArray[np.floating]
"""Of all rows the same text, or each row's own texts or numbers: [C], or [C, X] in a list."""


class Pieces:
    """The pieces of some rows."""

    def __init__(self, num_rows: int) -> None:
        self._num_rows = num_rows
        self._texts: list[bytes] = [b""]
        self._code_of: dict[bytes, int] = {b"": 0}
        self._columns: list[Codes] = []
        self._numbers: list[NDArray[Any]] = []
        self._num_numbers = 0

    def code(self, text: bytes) -> int:
        """The number of a text."""
        known = self._code_of.get(text)
        if known is None:
            known = self._code_of[text] = len(self._texts)
            self._texts.append(text)
        return known

    def codes(self, texts: Iterable[bytes]) -> Codes:
        """The numbers of texts that are given once: they are not looked up."""
        first = len(self._texts)
        self._texts.extend(texts)
        return np.arange(first, len(self._texts), dtype=np.int32)

    def add(self, *pieces: Piece, where_C: NDArray[np.bool_] | None = None) -> None:
        """Add a piece to every row, or to some."""
        for piece in pieces:
            code = self._code(piece)
            if where_C is not None:
                code = np.where(where_C, code, 0)
            self._columns.append(code.reshape(-1, 1))

    def add_list(self, is_there_CX: NDArray[np.bool_], *pieces: Piece) -> None:
        """Add the parts of a list, with commas between those that are there."""
        num_rows, num_parts = is_there_CX.shape
        code_CXW = np.empty((num_rows, num_parts, 1 + len(pieces)), dtype=np.int32)
        is_first_CX = is_there_CX.cumsum(axis=1) == 1
        code_CXW[..., 0] = np.where(is_first_CX, 0, self.code(b","))
        for place, piece in enumerate(pieces, 1):
            code_CXW[..., place] = self._code(piece)
        code_CXW *= is_there_CX[..., None]
        self._columns.append(code_CXW.reshape(num_rows, -1))

    def written(self) -> tuple[memoryview, NDArray[np.int64]]:
        """The text of all rows, and where each ends."""
        ends = np.cumsum([column.shape[1] for column in self._columns]).tolist()
        code_CS = np.empty((self._num_rows, ends[-1]), dtype=np.int32)
        for column, end in zip(self._columns, ends, strict=True):
            code_CS[:, end - column.shape[1] : end] = column
        number_CN = np.empty((self._num_rows, self._num_numbers))
        end = 0
        for number_CX in self._numbers:
            start, end = end, end + number_CX.shape[1]
            number_CN[:, start:end] = number_CX
        return joined(code_CS, number_CN, self._texts)

    def _code(self, piece: Piece) -> Codes:
        """What stands for a piece, in each row the same or its own."""
        if isinstance(piece, str):
            return np.array(self.code(piece.encode()), dtype=np.int32)
        if piece.dtype == np.int32:
            return piece.astype(np.int32, copy=False)
        numbers = piece.reshape(self._num_rows, -1)
        first, self._num_numbers = self._num_numbers, self._num_numbers + numbers.shape[1]
        self._numbers.append(numbers)
        code_X = np.arange(-1 - first, -1 - self._num_numbers, -1, dtype=np.int32)
        return code_X if piece.ndim > 1 else code_X[:1]
