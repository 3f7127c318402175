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
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from model.runtime.native.kernels import kernels


class Kind(IntEnum):
    """As in `join.c`."""

    TEXT = 0
    OF_ROW = 1
    OWN = 2
    NUMBER = 3
    NUMBER_OF = 4
    UNLESS = 5


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
        rows = [self._row(row) for row in range(len(self.own_CO))]
        return memoryview(b"".join(rows)), np.array(list(map(len, rows)), dtype=np.int64).cumsum()

    def _row(self, row: int) -> bytes:
        own = self.own_CO[row].tolist()
        numbers = self.number_CN[row].tolist()
        written: list[bytes] = []
        left_out = 0
        for kind, which, other in self.piece_S3.tolist():
            if left_out:
                left_out -= 1
            elif kind == Kind.TEXT:
                written.append(self.texts[which])
            elif kind == Kind.OF_ROW:
                written.append(self.texts[self.num_common + which * len(self.own_CO) + row])
            elif kind == Kind.OWN:
                written.append(self.texts[other + own[which]] if own[which] >= 0 else b"")
            elif kind == Kind.UNLESS:
                left_out = other if own[which] < 0 else 0
            else:
                written.append(_json(numbers[which if kind == Kind.NUMBER else other + own[which]]))
        return b"".join(written)


def _json(number: float) -> bytes:
    if not math.isfinite(number):
        return b"null"
    text = f"{round(number * 1e7) / 1e7 if abs(number) < 1e8 else number:.7f}"
    text = text.rstrip("0").rstrip(".")
    return b"0" if text == "-0" else text.encode()
