"""The pieces of rows of JSON, added from left to right, once for all lists that are told alike.

`model.runtime.native.join` writes the rows.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.runtime.native.join import Kind


class Pieces:
    """What rows consist of."""

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
