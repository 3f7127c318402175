"""What finding the best items is: queries in, ranked rows out.

Knows nothing about how they are found.

Letters: N items found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from service.eligible import Eligible
from service.profile import Profile
from service.ranking import Rows, top_places


@dataclass(frozen=True, slots=True)
class Query:
    """Whom to find items for, which may be found, and how many."""

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
