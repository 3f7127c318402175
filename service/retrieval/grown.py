"""Retrieval from a model that has grown: added items are searched exactly, beside the others.

The item-item model knows no added item, so their scores come from vectors alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from service.retrieval.exact import ExactRetriever
from service.retrieval.query import Eligible, Query, Ranked, Retriever


class GrownRetriever:
    """Finds the best items of the artifact's and of the added ones; safe to share by threads."""

    def __init__(self, base: Retriever, added: ExactRetriever, *, num_base: int) -> None:
        """The rows of `added` follow the `num_base` rows of `base`."""
        self._base = base
        self._added = added
        self._num_base = num_base

    @property
    def name(self) -> Literal["exact", "approximate"]:
        """That of the artifact's items."""
        return self._base.name

    def best(self, queries: Sequence[Query]) -> list[Ranked]:
        """The best items of every query."""
        of_base = self._search(self._base, [self._of_base(query) for query in queries])
        of_added = self._search(self._added, [self._of_added(query) for query in queries])
        return [
            base.joined_with(Ranked(added.rows + self._num_base, added.scores), query.count)
            for query, base, added in zip(queries, of_base, of_added, strict=True)
        ]

    def _search(self, retriever: Retriever, queries: Sequence[Query]) -> list[Ranked]:
        """A retriever's answers; nothing for a query that nothing is eligible for."""
        found = [Ranked(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.float32))] * len(queries)
        places = [place for place, query in enumerate(queries) if query.eligible.outnumbers(0)]
        if places:
            answers = retriever.best([queries[place] for place in places])
            for place, answer in zip(places, answers, strict=True):
                found[place] = answer
        return found

    def _of_base(self, query: Query) -> Query:
        points_I = None if query.points_I is None else query.points_I[: self._num_base]
        eligible = _between(query.eligible, 0, self._num_base)
        return replace(query, eligible=eligible, points_I=points_I)

    def _of_added(self, query: Query) -> Query:
        return replace(
            query,
            profile=query.profile.by_vector_alone(),
            eligible=_between(query.eligible, self._num_base, query.eligible.num_items),
            points_I=None if query.points_I is None else query.points_I[self._num_base :],
        )


def _between(eligible: Eligible, start: int, stop: int) -> Eligible:
    """What is eligible of the rows [start, stop), which count from 0 again."""
    out = eligible.left_out
    out = out[(out >= start) & (out < stop)] - start
    if eligible.only is None:
        return Eligible(stop - start, out)
    return Eligible(stop - start, out, within_I=eligible.mask_I[start:stop])
