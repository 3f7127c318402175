"""Retrieval from a model that has grown: added items are searched exactly, beside the others.

The item-item model knows no added item, so their scores come from vectors alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from model.runtime.item_item import ItemItemScores
from model.runtime.native_bounds import rounded_bounds
from service.retrieval.bounds import FloatBounds
from service.retrieval.exact import Bounds, ExactRetriever
from service.retrieval.query import Eligible, Floats, Query, Ranked, Retriever, Tensors

SEGMENT_ROWS = 8_192
"""Fewer are bounded without a rounded copy: 1 ms."""


class GrowingBounds:
    """Bounds of rows that are only appended: whole segments in 8 bits, the rest as it is."""

    def __init__(self, templates_KM: Sequence[Sequence[float]], reach: float) -> None:
        self._templates_KM = np.array(templates_KM, dtype=np.float32)
        self._reach = reach
        self._segments: list[Bounds] = []

    def of_rows(self, tensors: Tensors) -> "SegmentedBounds":
        """The bounds of all rows so far. Blocking."""
        items_IVMD, bias_I = tensors["item_embeddings"], tensors["item_bias"]
        whole = len(bias_I) // SEGMENT_ROWS
        for number in range(len(self._segments), whole):
            part = slice(number * SEGMENT_ROWS, (number + 1) * SEGMENT_ROWS)
            self._segments.append(self._of(rounded_bounds, items_IVMD[part], bias_I[part]))
        rest = slice(whole * SEGMENT_ROWS, None)
        last = self._of(FloatBounds, items_IVMD[rest], bias_I[rest])
        return SegmentedBounds([*self._segments, last])

    def _of(self, kind: Callable[..., Bounds], items_IVMD: Floats, bias_I: Floats) -> Bounds:
        return kind(items_IVMD, bias_I, self._templates_KM, self._reach)


class SegmentedBounds:
    """The bounds of rows in several parts, one after the other."""

    def __init__(self, parts: Sequence[Bounds]) -> None:
        self._parts = parts

    def of(self, users_BVMD: Floats, item_item: Sequence[ItemItemScores]) -> tuple[Floats, Floats]:
        """See `Bounds.of`; the item-item model must say nothing of these items."""
        assert not any(each.largest_size for each in item_item)
        parts = [part.of(users_BVMD, item_item) for part in self._parts]
        most_B = np.max([less_B for _, less_B in parts], axis=0)
        return np.concatenate([bound_BC for bound_BC, _ in parts], axis=1), most_B


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
        of_added = self._search(self._added, list(map(self._of_added, queries, of_base)))
        return [
            base.joined_with(replace(added, rows=added.rows + self._num_base), query.count)
            for query, base, added in zip(queries, of_base, of_added, strict=True)
        ]

    def _search(self, retriever: Retriever, queries: Sequence[Query]) -> list[Ranked]:
        """A retriever's answers; nothing for a query that nothing is eligible for."""
        found = [Ranked.nothing()] * len(queries)
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

    def _of_added(self, query: Query, of_base: Ranked) -> Query:
        """Of equal scores the lower row is first, so that only better items count."""
        enough = len(of_base.rows) == query.count
        return replace(
            query,
            profile=query.profile.by_vector_alone(),
            eligible=_between(query.eligible, self._num_base, query.eligible.num_items),
            points_I=None if query.points_I is None else query.points_I[self._num_base :],
            above=float(of_base.scores[-1]) if enough else -np.inf,
        )


def _between(eligible: Eligible, start: int, stop: int) -> Eligible:
    """What is eligible of the rows [start, stop), which count from 0 again."""
    out = eligible.left_out
    out = out[(out >= start) & (out < stop)] - start
    if eligible.only is None:
        return Eligible(stop - start, out)
    return Eligible(stop - start, out, within_I=eligible.mask_I[start:stop])
