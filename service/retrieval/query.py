"""What finding the best items is: queries in, ranked rows out.

Letters: C candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model.runtime.profile import Profile
from model.runtime.top_k import Rows, top_places


class Eligible:
    """Which items may stand in an answer: all but some, or only some.

    It is small where the request is small: the usual one leaves a few items out of many, and names
    them instead of the many.

    Args:
        num_items: of the catalogue.
        excluded: rows that are out; in any order, also repeatedly.
        only: lists of rows; what is in stands in each of them. Without a list, everything is in.
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
            return True  # whatever is repeated among the rows that are out
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


@dataclass(frozen=True, slots=True)
class Query:
    """Whose profile to find items for, which may be found, and how many."""

    profile: Profile
    eligible: Eligible
    count: int
    """At least 1."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Items, best first; of equal scores, the lower row first."""

    rows: Rows
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, rows_C: Rows, scores_C: NDArray[np.float32], count: int) -> "Ranked":
        """The best `count` of some scored rows, which ascend."""
        places = top_places(scores_C, 0, count)
        return cls(rows_C[places], scores_C[places])

    def first(self, count: int) -> "Ranked":
        """The best `count` of them."""
        return Ranked(self.rows[:count], self.scores[:count])

    def joined_with(self, others: "Ranked", count: int) -> "Ranked":
        """The best `count` of these and of others."""
        rows = np.concatenate([self.rows, others.rows])
        scores = np.concatenate([self.scores, others.scores])
        order = np.argsort(rows)
        return Ranked.of(rows[order], scores[order], count)

    def then(self, others: "Ranked") -> "Ranked":
        """These, and others behind them."""
        rows = np.concatenate([self.rows, others.rows])
        return Ranked(rows, np.concatenate([self.scores, others.scores]))


class Retriever(Protocol):
    """Finds the best items of one model version."""

    @property
    def name(self) -> Literal["exact", "approximate"]:
        """What it is called in settings, metrics and answers."""

    def best(self, queries: Sequence[Query]) -> list[Ranked]:
        """The best items of every query: fewer than asked for only where fewer are eligible."""
