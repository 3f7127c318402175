"""Rows of text put together from pieces, by the compiled functions or by Python.

All rows have the same pieces. What a piece stands for:

| kind | which, other | what is written |
|---|---|---|
| TEXT | t | the text t |
| OF_ROW | t | the row's own text t |
| OWN | o, t | the text t + the row's number o; nothing if that is negative |
| NUMBER | n | the row's number n, as JSON with seven decimal places at most |
| NUMBER_OF | o, n | the row's number n + its number o |
| UNLESS | o, s | nothing; if the row's number o is negative, the next s pieces are left out |

Letters: C rows, S pieces, O whole numbers and N other numbers of a row, T texts.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from model.runtime.native.kernels import kernels


class Kind:
    """As in `join.c`."""

    TEXT = 0
    OF_ROW = 1
    OWN = 2
    NUMBER = 3
    NUMBER_OF = 4
    UNLESS = 5


class RowTemplate:
    """The pieces of a row, added from left to right, once for all rows that are alike."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        """Of all rows."""
        self._pieces: list[tuple[int, int, int]] = []

    def text(self, text: str | bytes) -> None:
        """The same in every row."""
        self._pieces.append((Kind.TEXT, len(self.texts), 0))
        self.texts.append(text.encode() if isinstance(text, str) else text)

    def keep(self, texts: Iterable[bytes]) -> int:
        """Texts that rows choose from; the number of the first."""
        first = len(self.texts)
        self.texts.extend(texts)
        return first

    def of_row(self, which: int) -> None:
        """A text of the row's own."""
        self._pieces.append((Kind.OF_ROW, which, 0))

    def one_of(self, own: int, first: int = 0) -> None:
        """That of all rows' texts from `first` on which a number of the row says."""
        self._pieces.append((Kind.OWN, own, first))

    def number(self, which: int) -> None:
        """A number of the row."""
        self._pieces.append((Kind.NUMBER, which, 0))

    def number_of(self, own: int, first: int) -> None:
        """That of the row's numbers from `first` on which a number of the row says."""
        self._pieces.append((Kind.NUMBER_OF, own, first))

    @contextmanager
    def unless_negative(self, own: int) -> Iterator[None]:
        """What is added within is left out of rows whose number `own` is negative."""
        place = len(self._pieces)
        self._pieces.append((Kind.UNLESS, own, 0))
        yield
        self._pieces[place] = (Kind.UNLESS, own, len(self._pieces) - place - 1)

    @cached_property
    def as_array(self) -> NDArray[np.int32]:
        """As they are written."""
        return np.array(self._pieces, dtype=np.int32).reshape(-1, 3)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TextRows:
    """What rows are made of."""

    piece_S3: NDArray[np.int32]
    """Kind, which and other."""
    texts: Sequence[bytes]
    """Without zeros: those of all rows; then the first own text of each row, the second, ..."""
    num_common: int
    """Texts of all rows."""
    own_CO: NDArray[np.int32]
    number_CN: NDArray[np.float64]

    def written(self) -> tuple[memoryview, NDArray[np.int64]]:
        """The text of all rows, and where each ends."""
        compiled = kernels()
        found = None
        if compiled is not None:
            given = self.piece_S3, self.texts, self.num_common, self.own_CO, self.number_CN
            found = compiled.joined(*given)
        return self.written_by_python() if found is None else found

    def written_by_python(self) -> tuple[memoryview, NDArray[np.int64]]:
        """See `written`."""
        pieces = self.piece_S3.tolist()
        rows = [
            b"".join(self._row(row, pieces, own, numbers))
            for row, (own, numbers) in enumerate(
                zip(self.own_CO.tolist(), self.number_CN.tolist(), strict=True)
            )
        ]
        return memoryview(b"".join(rows)), np.array(list(map(len, rows)), dtype=np.int64).cumsum()

    def _row(
        self,
        row: int,
        pieces: Sequence[tuple[int, int, int]],
        own: Sequence[int],
        numbers: Sequence[float],
    ) -> Iterator[bytes]:
        num_rows, texts = len(self.own_CO), self.texts
        remaining = iter(pieces)
        for kind, which, other in remaining:
            if kind == Kind.TEXT:
                yield texts[which]
            elif kind == Kind.UNLESS:
                if own[which] < 0:
                    next(islice(remaining, other, other), None)
            elif kind == Kind.OF_ROW:
                yield texts[self.num_common + which * num_rows + row]
            elif kind == Kind.OWN:
                yield texts[other + own[which]] if own[which] >= 0 else b""
            else:
                yield _json(numbers[which if kind == Kind.NUMBER else other + own[which]])


def _json(number: float) -> bytes:
    if not math.isfinite(number):
        return b"null"
    text = f"{round(number * 1e7) / 1e7 if abs(number) < 1e8 else number:.7f}"
    text = text.rstrip("0").rstrip(".")
    return b"0" if text == "-0" else text.encode()
