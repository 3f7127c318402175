"""The exact first stage: bounds the score of every item, routes those that could be among the best.

The answer is that of routing every item.

Letters: I items, C candidates, B users, V views, M modalities, D dimension, K experts,
S sampled bounds.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Literal, Protocol

import numpy as np

from model.runtime.derived import Keep, unkept
from model.runtime.item_item import ItemItemScores
from model.runtime.native.kernels import kernels
from model.runtime.native_bounds import rounded_bounds
from model.runtime.scorer import RUN_PAIRS, OnnxScorer, ScoredPairs
from model.runtime.top_k import Rows, top_places
from service.retrieval.bounds import FloatBounds
from service.retrieval.query import Floats, Query, Ranked, Tensors

FIRST_ROUTED = 224
"""Items routed first, at least; of 2,000 or 200,000 items the bound lets some 100 or 200 through,
so that few lists need a second round: what it costs by itself is more than routing some items."""
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
_NONE: Rows = np.empty(0, dtype=np.intp)
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
        keep: Keep = unkept,
    ) -> None:
        """For the items of some tensors.

        Args:
            scorer: of these items.
            tensors: by name.
            templates_KM: weights of the experts over the modalities.
            bounds: those of the items, if they have been made already.
            keep: keeps what bounds are made of.
        """
        self._scorer = scorer
        items_IVMD, bias_I = tensors["item_embeddings"], tensors["item_bias"]
        templates = np.array(templates_KM, dtype=np.float32)
        of_items = items_IVMD, bias_I, templates, scorer.reach()
        self._bounds = bounds or (
            rounded_bounds(*of_items, keep)
            if items_IVMD.size <= _QUANTISED_NUMBERS
            else FloatBounds(*of_items)
        )
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
        slacks = [
            _slack(query) + less for query, less in zip(queries, less_B.tolist(), strict=True)
        ]
        first = _highest(bound_BI, queries, slacks)
        best = self._routed(queries, first)
        least = [
            float(ranked.scores[-1]) - slack if len(ranked.rows) else np.inf  # none is good enough
            for ranked, slack in zip(best, slacks, strict=True)
        ]
        rest = _at_least(bound_BI, first, least)
        left = [place for place, rows_C in enumerate(rest) if len(rows_C)]
        if left:
            others = self._routed([queries[place] for place in left], [rest[x] for x in left])
            for place, more in zip(left, others, strict=True):
                best[place] = best[place].joined_with(more, queries[place].count)
        return best

    def _routed(self, queries: Sequence[Query], rows: Sequence[Rows]) -> list[Ranked]:
        """The best of each query's own rows; nothing for one without rows."""
        found = [Ranked(rows_C, np.empty(0, dtype=np.float32)) for rows_C in rows]
        for places in _groups(list(map(len, rows))):
            some, own = [queries[place] for place in places], [rows[place] for place in places]
            scored = self._scorer.score_pairs([query.profile for query in some], own)
            for place, ranked in zip(places, _best(some, own, scored), strict=True):
                found[place] = ranked
        return found


def _groups(sizes: Sequence[int]) -> list[list[int]]:
    """Places of queries with candidates; those of a group are scored together."""
    groups: list[list[int]] = []
    room = 0
    for place, size in enumerate(sizes):
        if size > room or not groups:
            groups.append([])
            room = RUN_PAIRS
        if size:
            groups[-1].append(place)
            room -= size
    return [group for group in groups if group]


def _best(queries: Sequence[Query], rows: Sequence[Rows], scored: ScoredPairs) -> list[Ranked]:
    """The best that each query asks for of its own rows, which ascend."""
    score_P, ends = scored.score_P, [*accumulate(map(len, rows))]
    for query, rows_C, end in zip(queries, rows, ends, strict=True):
        if query.points_I is not None:
            score_P[end - len(rows_C) : end] += query.points_I[rows_C]
    sizes = [min(query.count, len(rows_C)) for query, rows_C in zip(queries, rows, strict=True)]
    if (compiled := kernels()) is not None:
        places_N = compiled.best_places(score_P, ends, sizes)
    else:
        starts = [0, *ends[:-1]]
        places_N = np.concatenate(
            [
                start + top_places(score_P[start:end], 0, size)
                for start, end, size in zip(starts, ends, sizes, strict=True)
            ]
        )
    all_best = Ranked(np.concatenate(rows), score_P, scored.breakdown).at(places_N)
    parts = pairwise([0, *accumulate(sizes)])
    return [all_best.between(start, stop) for start, stop in parts]


def _narrow(bound_I: Floats, query: Query, slack: float) -> None:
    """Add points to bounds, and put what need not be found at -inf, but for what is left out."""
    eligible = query.eligible
    if query.points_I is not None:
        bound_I += query.points_I
    if eligible.only is not None:
        bound_I[~eligible.mask_I] = -np.inf
    if query.above > -np.inf:
        bound_I[bound_I < query.above - slack] = -np.inf


def _slack(query: Query) -> float:
    return _SLACK * (1 + query.profile.item_item.largest_size + _largest_points(query))


def _largest_points(query: Query) -> float:
    return 0.0 if query.points_I is None else float(np.abs(query.points_I).max(initial=0))


def _highest(bound_BI: Floats, queries: Sequence[Query], slacks: Sequence[float]) -> list[Rows]:
    """Rows to be routed first: about as many as are promising, ascending; none is at -inf."""
    counts = [max(FIRST_ROUTED, 2 * query.count) for query in queries]
    for query, bound_I, slack in zip(queries, bound_BI, slacks, strict=True):
        _narrow(bound_I, query, slack)
    left_out = [
        query.eligible.left_out if query.eligible.only is None else _NONE for query in queries
    ]
    if (compiled := kernels()) is not None:
        found = compiled.pick(bound_BI, left_out, counts)
    else:
        for bound_I, rows_C in zip(bound_BI, left_out, strict=True):
            bound_I[rows_C] = -np.inf
        found = [about_highest(*each) for each in zip(bound_BI, counts, strict=True)]
    return [
        rows_C if len(rows_C) <= _MOST_TIMES * count else _fewer(bound_I, rows_C, count)
        for bound_I, rows_C, count in zip(bound_BI, found, counts, strict=True)
    ]


def _fewer(bound_I: Floats, rows_C: Rows, count: int) -> Rows:
    return np.sort(rows_C[top_places(bound_I[rows_C], 0, count)])


def _at_least(bound_BI: Floats, found: Sequence[Rows], least: Sequence[float]) -> list[Rows]:
    """Further rows of bounds of at least that, ascending."""
    if (compiled := kernels()) is not None:
        return compiled.pick(bound_BI, found, [0] * len(found), least)
    for bound_I, rows_C in zip(bound_BI, found, strict=True):
        bound_I[rows_C] = -np.inf
    return [
        np.flatnonzero(bound_I >= lowest) for bound_I, lowest in zip(bound_BI, least, strict=True)
    ]


def about_highest(bound_I: Floats, count: int) -> Rows:
    """As `Kernels.pick`, by numpy: about the `count` highest finite bounds of one user."""
    rows = np.arange(len(bound_I))
    if len(bound_I) > 2 * _SAMPLED:
        sample_S = np.sort(bound_I[:: len(bound_I) // _SAMPLED])
        guessed = 1 + count * len(sample_S) // len(bound_I)
        while guessed < len(sample_S):
            above = np.flatnonzero(bound_I >= sample_S[-guessed])
            if len(above) >= count // 2:
                rows = above
                break
            guessed *= 2
    return rows[np.isfinite(bound_I[rows])]
