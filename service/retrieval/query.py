"""What finding the best items is: queries in, ranked rows out; and orders other than by score.

Letters: I items, C candidates, P items of the pool, F width of an item's vectors side by side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model.runtime.grown import Grown
from model.runtime.profile import Profile
from model.runtime.scorer import Breakdown, Scored
from model.runtime.top_k import Rows, top_places
from service.schemas.warned import Warned

Floats = NDArray[np.float32]
Tensors = Mapping[str, NDArray[Any]]
"""The arrays of an artifact, by name."""


class Eligible:
    """Which items may stand in an answer: all but some, or only some.

    It is small where the request is small: the usual one leaves a few items out of many, and names
    them instead of the many.

    Args:
        num_items: of the catalogue.
        excluded: rows that are out; in any order, also repeatedly.
        only: lists of rows; what is in stands in each of them. Without a list, everything is in.
        within_I: whether each row may be in; None: each may.
    """

    def __init__(
        self,
        num_items: int,
        excluded: Rows,
        only: Sequence[Rows] = (),
        within_I: NDArray[np.bool_] | None = None,
    ) -> None:
        self.num_items = num_items
        self.left_out: Rows = excluded
        """Rows that are out; in any order, also repeatedly."""
        self.only: Rows | None = None
        if only:
            rows = np.unique(only[0])
            for more in only[1:]:
                rows = np.intersect1d(rows, more)
            rows = rows if within_I is None else rows[within_I[rows]]
            self.only = np.setdiff1d(rows, self.excluded, assume_unique=True)
        elif within_I is not None:
            mask_I = within_I.copy()
            mask_I[excluded] = False
            self.only = np.flatnonzero(mask_I)

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
        within_I = None if self.only is None else self.mask_I
        return Eligible(self.num_items, left_out, within_I=within_I)

    def among(self, rows: Rows) -> Rows:
        """Those of some rows that are in, in their order."""
        if self.only is not None:
            return rows[self.mask_I[rows]]
        return rows[np.isin(rows, self.left_out, invert=True)]


@dataclass(frozen=True, slots=True)
class Query:
    """Whose profile to find items for, which may be found, and how many."""

    profile: Profile
    eligible: Eligible
    count: int
    """At least 1."""
    points_I: Floats | None = None
    """Added to the score of every item; None: nothing is."""
    above: float = -np.inf
    """Items of a lower score need not be found."""
    popularity: float = 0.0
    """Unless it is 0: the points are so many times the items' `popularity_bias`, and nothing else.
    Whoever has the items need not be sent them."""

    def pointed(self, rows_C: Rows, scores_C: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of some rows and the points of these rows."""
        return scores_C if self.points_I is None else scores_C + self.points_I[rows_C]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Items, best first; of equal scores, the lower row first."""

    rows: Rows
    scores: NDArray[np.float32]
    breakdown: Breakdown | None = None
    """What adds up to the scores, if routing has told it; points are not in it."""
    warnings: tuple[Warned, ...] = ()
    """Which items could not be looked through."""

    @classmethod
    def nothing(cls) -> "Ranked":
        """No items."""
        return cls(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.float32))

    @classmethod
    def best_of(cls, query: Query, rows_C: Rows, scored: Scored) -> "Ranked":
        """The best that a query asks for of some scored rows, which ascend."""
        scores_C = query.pointed(rows_C, scored.score_C)
        places = top_places(scores_C, 0, query.count)
        return cls(rows_C, scores_C, scored.breakdown).at(places)

    @classmethod
    def of(cls, rows_C: Rows, scores_C: NDArray[np.float32], count: int) -> "Ranked":
        """The best `count` of some scored rows, which ascend."""
        return cls(rows_C, scores_C).at(top_places(scores_C, 0, count))

    def at(self, places: Rows) -> "Ranked":
        """Those at some places, in the order of these."""
        breakdown = None if self.breakdown is None else self.breakdown.at(places)
        return Ranked(self.rows[places], self.scores[places], breakdown, self.warnings)

    def between(self, start: int, stop: int) -> "Ranked":
        """Those of the places [start, stop); not copied."""
        breakdown = None if self.breakdown is None else self.breakdown.between(start, stop)
        return Ranked(self.rows[start:stop], self.scores[start:stop], breakdown, self.warnings)

    def first(self, count: int) -> "Ranked":
        """The best `count` of them."""
        return self if count >= len(self.rows) else self.between(0, count)

    def joined_with(self, others: "Ranked", count: int) -> "Ranked":
        """The best `count` of these and of others."""
        both = self.then(others)
        ascending = both.at(np.argsort(both.rows))
        return ascending.at(top_places(ascending.scores, 0, count))

    def then(self, others: "Ranked") -> "Ranked":
        """These, and others behind them."""
        warnings = tuple(dict.fromkeys(self.warnings + others.warnings))
        if not len(self.rows) or not len(others.rows):
            return replace(self if len(self.rows) else others, warnings=warnings)
        rows = np.concatenate([self.rows, others.rows])
        scores = np.concatenate([self.scores, others.scores])
        breakdown = None
        if self.breakdown is not None and others.breakdown is not None:
            breakdown = self.breakdown.then(others.breakdown)
        return Ranked(rows, scores, breakdown, warnings)


class Retriever(Protocol):
    """Finds the best items of one model version."""

    @property
    def name(self) -> Literal["exact", "approximate"]:
        """What it is called in settings, metrics and answers."""

    def best(self, queries: Sequence[Query]) -> list[Ranked]:
        """The best items of every query: fewer than asked for only where fewer are eligible."""


def most_popular(order_I: Grown, popularity_I: Grown, eligible: Eligible, count: int) -> Ranked:
    """The most popular eligible items; the score is log(1 + interactions).

    Args:
        order_I: rows of the whole catalogue, most popular first.
        popularity_I: interactions of every item.
        eligible: which items may stand in the answer.
        count: how many.
    """
    rows: Rows = np.empty(0, dtype=np.intp)
    length = count + len(eligible.excluded)
    while len(rows) < min(count, len(eligible)):
        rows = eligible.among(order_I[:length].astype(np.intp))
        length *= 4
    best = rows[:count]
    return Ranked(best, np.log1p(popularity_I[best]).astype(np.float32))


def most_popular_with_points(
    popularity_I: Grown, points_I: Floats, eligible: Eligible, count: int
) -> Ranked:
    """The eligible items with the largest log(1 + interactions) + points."""
    rows_C = eligible.rows()
    scores_C = np.log1p(popularity_I[rows_C]).astype(np.float32) + points_I[rows_C]
    return Ranked.of(rows_C, scores_C, count)


POOL = 500
"""So many of the best items are put in a new order, the same for every page of a list."""


def diversified(
    score_P: NDArray[np.floating], vector_PF: NDArray[np.float32], diversity: float, wanted: int
) -> NDArray[np.intp]:
    """Places of the best `wanted` items by maximal marginal relevance; fewer if the pool ends.

    Ref: Carbonell and Goldstein, The Use of MMR, SIGIR 1998. Each is the one with the highest
    (1 - diversity) * relevance - diversity * similarity. Relevance is the score, scaled to 0 for
    the least of the pool and 1 for the most. Similarity is the cosine with the most similar item
    already chosen. Of equals, the first.

    Args:
        score_P: best first.
        vector_PF: zero rows are similar to nothing.
        diversity: 0 keeps the order, 1 looks at similarity alone.
        wanted: length of the list.
    """
    spread = float(score_P[0] - score_P[-1]) if len(score_P) else 0.0
    relevance_P = (score_P - score_P[-1:]) / spread if spread > 0 else np.zeros(len(score_P))
    length_P1 = np.linalg.norm(vector_PF, axis=1, keepdims=True)
    unit_PF = vector_PF / np.maximum(length_P1, np.float32(1e-12))
    similarity_P = np.full(len(score_P), -1.0)
    open_P = np.ones(len(score_P), dtype=np.bool_)
    chosen: list[int] = []
    for _ in range(min(wanted, len(score_P))):
        likeness_P = similarity_P if chosen else np.zeros(len(score_P))
        value_P = (1 - diversity) * relevance_P - diversity * likeness_P
        best = int(np.argmax(np.where(open_P, value_P, -np.inf)))
        chosen.append(best)
        open_P[best] = False
        np.maximum(similarity_P, unit_PF @ unit_PF[best], out=similarity_P)
    return np.array(chosen, dtype=np.intp)
