"""The exact first stage: bounds the score of every item, routes those that could be among the best.

The answer is that of routing every item.

Letters: I items, C candidates, B users, V views, M modalities, D dimension, K experts,
S sampled bounds.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np

from model.runtime.item_item import ItemItemScores
from model.runtime.native.kernels import Kernels, kernels
from model.runtime.native_bounds import rounded_bounds
from model.runtime.scorer import OnnxScorer
from model.runtime.top_k import Rows, top_places
from service.retrieval.bounds import FloatBounds
from service.retrieval.query import Floats, Query, Ranked, Tensors

FIRST_ROUTED = 160
"""Items routed first, at least; of 2,000 or 200,000 items the bound lets some 100 or 200 through,
so that a second round is small."""
ROUTED_DIRECTLY = 1_024
"""So few candidates are routed without being bounded first: the graph's fixed cost dominates."""
_SLACK = 1e-4
"""Of float32 sums in units of score, by one, the largest item-item score and the most points: far
above what rounding does, far below what matters."""
_SAMPLED = 2_048
"""Bounds from which the threshold of the first round is guessed."""
_MOST_TIMES = 4
"""What is wanted in the first round: more are not routed at once."""
_QUANTISED_NUMBERS = 128 * 1024 * 1024
"""Of all items' vectors: so many are copied in 8 bits, which every worker holds. With six channels
of 64 numbers these are 350,000 items. Of a larger catalogue the mapped vectors are read."""
_BOUNDS_BYTES = 16 * 1024 * 1024
"""Most memory for the bounds of one batch of users; compiled bounds keep so much."""


class Bounds(Protocol):
    """The most that every item's score can be."""

    def of(self, users_BVMD: Floats, item_item: Sequence[ItemItemScores]) -> tuple[Floats, Floats]:
        """Bounds [B, I] less what is to be added to each user's [B]; until the thread asks again.

        Args:
            users_BVMD: some users' rows.
            item_item: their item-item scores.
        """


class ExactRetriever:
    """Finds the best items of one model version; safe to share by threads."""

    name: Literal["exact"] = "exact"

    def __init__(
        self,
        scorer: OnnxScorer,
        tensors: Tensors,
        templates_KM: Sequence[Sequence[float]],
        *,
        bounds: Bounds | None = None,
    ) -> None:
        """`bounds`: those of the items, if they have been made already."""
        self._scorer = scorer
        items_IVMD, bias_I = tensors["item_embeddings"], tensors["item_bias"]
        templates = np.array(templates_KM, dtype=np.float32)
        kind = rounded_bounds if items_IVMD.size <= _QUANTISED_NUMBERS else FloatBounds
        self._bounds = bounds or kind(items_IVMD, bias_I, templates, scorer.reach())
        self.most_users = max(1, _BOUNDS_BYTES // max(1, bias_I.nbytes))

    def best(self, queries: Sequence[Query]) -> list[Ranked]:
        """The best items of every query; of equal scores, the lower row first."""
        found: dict[int, Ranked] = {}
        bounded: list[int] = []
        for place, query in enumerate(queries):
            if query.eligible.outnumbers(max(ROUTED_DIRECTLY, 2 * query.count)):
                bounded.append(place)
            else:
                rows_C = query.eligible.rows()
                found[place] = self._routed([query], [rows_C])[0]
        for start in range(0, len(bounded), self.most_users):
            part = bounded[start : start + self.most_users]
            found |= zip(part, self._bounded([queries[place] for place in part]), strict=True)
        return [found[place] for place in range(len(queries))]

    def _bounded(self, queries: Sequence[Query]) -> list[Ranked]:
        """Route from the highest bounds down until no item that is left can be among the best."""
        profiles = [query.profile for query in queries]
        bound_BI, less_B = self._bounds.of(
            np.stack([profile.vector_VMD for profile in profiles]),
            [profile.item_item for profile in profiles],
        )
        slacks = [_slack(query) + less for query, less in zip(queries, less_B, strict=True)]
        first: list[Rows] = []
        for query, bound_I, slack in zip(queries, bound_BI, slacks, strict=True):
            _narrow(bound_I, query, slack)
            first.append(_highest(bound_I, max(FIRST_ROUTED, 2 * query.count)))
        best = self._routed(queries, first)
        left: dict[int, Rows] = {}
        for place, (ranked, slack) in enumerate(zip(best, slacks, strict=True)):
            bound_I = bound_BI[place]
            bound_I[first[place]] = -np.inf
            if not len(first[place]):  # none is good enough
                continue
            rest = _at_least(bound_I, ranked.scores[-1] - slack)
            if len(rest):
                left[place] = rest
        if left:
            others = self._routed([queries[place] for place in left], [*left.values()])
            for place, more in zip(left, others, strict=True):
                best[place] = best[place].joined_with(more, queries[place].count)
        return best

    def _routed(self, queries: Sequence[Query], rows: Sequence[Rows]) -> list[Ranked]:
        """The best of each query's own rows; nothing for one without rows."""
        found = [Ranked(rows_C, np.empty(0, dtype=np.float32)) for rows_C in rows]
        places = [place for place, rows_C in enumerate(rows) if len(rows_C)]
        if places:
            profiles = [queries[place].profile for place in places]
            scored = self._scorer.score_own(profiles, [rows[place] for place in places])
            for place, each in zip(places, scored, strict=True):
                found[place] = Ranked.best_of(queries[place], rows[place], each)
        return found


def _narrow(bound_I: Floats, query: Query, slack: float) -> None:
    """Add points to bounds, and put what need not be found at -inf."""
    eligible = query.eligible
    if query.points_I is not None:
        bound_I += query.points_I
    if eligible.only is None:
        bound_I[eligible.left_out] = -np.inf
    else:
        bound_I[~eligible.mask_I] = -np.inf
    if query.above > -np.inf:
        bound_I[bound_I < query.above - slack] = -np.inf


def _slack(query: Query) -> float:
    return _SLACK * (1 + query.profile.item_item.largest_size + _largest_points(query))


def _largest_points(query: Query) -> float:
    return 0.0 if query.points_I is None else float(np.abs(query.points_I).max(initial=0))


def _at_least(bound_I: Floats, least: np.floating) -> Rows:
    """Rows of bounds of at least that, ascending."""
    compiled = kernels()
    if compiled is not None:
        return compiled.at_least(bound_I, least)
    return np.flatnonzero(bound_I >= least)


def _highest(bound_I: Floats, count: int) -> Rows:
    """Rows of about the `count` highest finite bounds, never fewer than half of that, ascending."""
    rows = np.arange(len(bound_I))
    if (compiled := kernels()) is not None:
        rows = _highest_compiled(compiled, bound_I, count)
    elif len(bound_I) > 2 * _SAMPLED:
        sample_S = np.sort(bound_I[:: len(bound_I) // _SAMPLED])
        guessed = 1 + count * len(sample_S) // len(bound_I)
        while guessed < len(sample_S):
            above = np.flatnonzero(bound_I >= sample_S[-guessed])
            if len(above) >= count // 2:
                rows = above
                break
            guessed *= 2
    if len(rows) > _MOST_TIMES * count:
        rows = np.sort(rows[top_places(bound_I[rows], 0, count)])
    return rows[np.isfinite(bound_I[rows])]


def _highest_compiled(compiled: Kernels, bound_I: Floats, count: int) -> Rows:
    """Rows of about the `count` highest bounds, never fewer than half of that, ascending."""
    guessed = count
    while True:
        rows = compiled.at_least(bound_I, compiled.about_highest(bound_I, guessed))
        if len(rows) >= min(count // 2, len(bound_I)) or guessed >= len(bound_I):
            return rows
        guessed *= 2
