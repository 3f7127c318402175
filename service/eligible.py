"""Which items may stand in an answer: all but some, or only some.

Small where the request is small: the usual one leaves a few items out of many, and names them
instead of the many. Knows rows; knows nothing about why.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from service.ranking import Rows


class Eligible:
    """A set of rows of one catalogue.

    Args:
        num_items: of the catalogue.
        excluded: rows that are out; in any order, also repeatedly.
        only: lists of rows; what is in stands in each of them. None given: everything is.
    """

    def __init__(self, num_items: int, excluded: Rows, only: Sequence[Rows] = ()) -> None:
        self.num_items = num_items
        self.left_out: Rows = excluded
        """Rows that are out; in any order, also repeatedly."""
        self.only: Rows | None = None
        if only:
            rows = np.unique(only[0])
            for more in only[1:]:
                rows = np.intersect1d(rows, more)
            self.only = np.setdiff1d(rows, self.excluded, assume_unique=True)

    def __len__(self) -> int:
        if self.only is not None:
            return len(self.only)
        return self.num_items - len(self.excluded)

    def outnumbers(self, count: int) -> bool:
        """Whether more than `count` rows are in."""
        if self.only is None and self.num_items - len(self.left_out) > count:
            return True  # sure without knowing which of those that are out are there repeatedly
        return len(self) > count

    @cached_property
    def excluded(self) -> Rows:
        """Rows that are out, ascending and distinct."""
        return np.unique(self.left_out)

    @cached_property
    def mask_I(self) -> NDArray[np.bool_]:
        """Whether each row is in."""
        mask_I = np.full(self.num_items, self.only is None)
        if self.only is None:
            mask_I[self.left_out] = False
        else:
            mask_I[self.only] = True
        return mask_I

    def rows(self) -> Rows:
        """Every row that is in, ascending."""
        return np.flatnonzero(self.mask_I) if self.only is None else self.only

    def without(self, rows: Rows) -> "Eligible":
        """The same set less some rows."""
        left_out = np.concatenate([self.left_out, rows])
        return Eligible(self.num_items, left_out, [] if self.only is None else [self.only])

    def among(self, rows: Rows) -> Rows:
        """Those of some rows that are in, in their order."""
        if self.only is not None:
            return rows[np.isin(rows, self.only)]
        return rows[np.isin(rows, self.left_out, invert=True)]
