"""Arrays of rows that grow while they are served: a base that stays mapped, and rows behind it.

Nothing of the base is copied. A snapshot of what has grown never changes: rows are only appended,
behind the last one that it sees.

Letters: X rows at hand, F whatever a row holds.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.runtime.half import Base

_FIRST_ROWS = 64
"""Room of a new buffer; it doubles when it is full."""


class GrownRows:
    """Reads like one array of the rows of two, those of `base` first."""

    __slots__ = ("added", "base")

    def __init__(self, base: Base, added: NDArray[Any]) -> None:
        self.base = base
        self.added = added

    def __len__(self) -> int:
        return len(self.base) + len(self.added)

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return (len(self), *self.base.shape[1:])

    def __getitem__(self, rows: Any) -> Any:
        """One row, a slice without steps, or the rows of an array of row numbers."""
        first = len(self.base)
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            if stop <= first:
                return self.base[start:stop]
            behind = self.added[max(0, start - first) : stop - first]
            return behind if start >= first else np.concatenate([self.base[start:], behind])
        if isinstance(rows, np.ndarray | list):
            return self.take(np.asarray(rows))
        row = range(len(self))[rows]
        return self.base[row] if row < first else self.added[row - first]

    def take(self, rows: NDArray[np.integer], axis: int = 0) -> NDArray[Any]:
        """The rows of an array of row numbers, in its shape."""
        assert axis == 0
        first = len(self.base)
        is_added = rows >= first
        if not is_added.any():
            return self.base.take(rows, axis=0)
        if is_added.all():
            return self.added.take(rows - first, axis=0)
        found = np.empty((*rows.shape, *self.base.shape[1:]), dtype=self.base.dtype)
        found[~is_added] = self.base.take(rows[~is_added], axis=0)
        found[is_added] = self.added.take(rows[is_added] - first, axis=0)
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All rows as one array, copied."""
        return np.concatenate([self.base, self.added]).astype(dtype or self.base.dtype, copy=False)


Grown = Base | GrownRows
"""Rows that are read and never written."""


class GrowingRows:
    """Rows that are appended. What `rows` has returned keeps its values whatever comes behind."""

    def __init__(self, like: Grown) -> None:
        """Without rows yet; each will be as those of `like`."""
        dtype = like.base.dtype if isinstance(like, GrownRows) else like.dtype
        self._room = np.empty((_FIRST_ROWS, *like.shape[1:]), dtype=dtype)
        self._length = 0

    def append(self, rows_XF: NDArray[Any]) -> None:
        """Append some rows."""
        end = self._length + len(rows_XF)
        if end > len(self._room):
            room = np.empty(
                (max(end, 2 * len(self._room)), *self._room.shape[1:]), self._room.dtype
            )
            room[: self._length] = self._room[: self._length]
            self._room = room
        self._room[self._length : end] = rows_XF
        self._length = end

    def rows(self) -> NDArray[Any]:
        """All rows so far, not to be written to."""
        return self._room[: self._length]
