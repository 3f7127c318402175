"""The exact first stage: bounds every item's score, routes those that could be among the best.

The answer is that of routing every item. Knows users' profiles and rows; knows nothing about ids.

Letters: I items, C candidates, B users, V views, M modalities, G = V * M channels, D dimension.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.profile import Profile
from service.ranking import Rows, top_places
from service.retrieval.bound import ScoreBound
from service.retrieval.cosines import channels, cosines, unit_channels
from service.retrieval.neighbourhoods import blocked
from service.retrieval.retriever import Query, Ranked
from service.scorer import OnnxScorer

Floats = NDArray[np.float32]

BLOCK_PAIRS = 16_384
"""Pairs of user and item bounded at once: six channels of them fill half a megabyte, which stays
in a processor's second cache between the steps."""
FIRST_ROUTED = 160
"""Items routed first, at least; of 2,000 or 200,000 items the bound lets some 100 or 200 through,
so that a second round is small."""
ROUTED_DIRECTLY = 1_024
"""So few candidates are routed without being bounded first: the graph's fixed cost dominates."""
_SLACK = 1e-4
"""Of float32 sums in units of score, by one and the largest neighbourhood: far above what rounding
does, far below what matters."""
_SAMPLED = 2_048
"""Bounds from which the threshold of the first round is guessed."""
_COPIED_BYTES = 32 * 1024 * 1024
"""So large an array of items is copied, channel by channel and in each of them number by number:
products are twice as fast. A larger copy would weigh too much in each worker."""
_BOUNDS_BYTES = 64 * 1024 * 1024
"""Most memory for the bounds of one batch of users."""


class ExactRetriever:
    """Finds the best items of one model version; safe to share by threads."""

    name: Literal["exact"] = "exact"

    def __init__(
        self,
        scorer: OnnxScorer,
        *,
        items_IVMD: Floats,
        bias_I: Floats,
        templates_KM: Sequence[Sequence[float]],
    ) -> None:
        self._scorer = scorer
        self._items_GDI = channels(items_IVMD).transpose(0, 2, 1)
        if items_IVMD.nbytes <= _COPIED_BYTES:
            self._items_GDI = np.ascontiguousarray(self._items_GDI)
        self._bias_I = bias_I
        self._bound = ScoreBound.of(templates_KM, scorer.reach())
        self.most_users = max(1, _BOUNDS_BYTES // max(1, bias_I.nbytes))

    def best(self, queries: Sequence[Query]) -> list[Ranked]:
        """The best items of every query; of equal scores, the lower row first."""
        few = [self._is_direct(query) for query in queries]
        many = [query for query, direct in zip(queries, few, strict=True) if not direct]
        found: list[Ranked] = []
        for start in range(0, len(many), self.most_users):
            part = many[start : start + self.most_users]
            found += self._closed(part, self._bounds([query.profile for query in part]))
        rest = iter(found)
        return [
            self._routed(query, query.eligible.rows()) if direct else next(rest)
            for query, direct in zip(queries, few, strict=True)
        ]

    def _is_direct(self, query: Query) -> bool:
        return not query.eligible.outnumbers(max(ROUTED_DIRECTLY, 2 * query.count))

    def _bounds(self, profiles: Sequence[Profile]) -> Floats:
        """The most that every item's score can be [B, I]."""
        users_GBD = unit_channels(np.stack([profile.vector_VMD for profile in profiles]))
        num_items = len(self._bias_I)
        bound_BI = np.empty((len(profiles), num_items), dtype=np.float32)
        step = max(1, BLOCK_PAIRS // len(profiles))
        neighbourhoods = blocked([profile.neighbourhood for profile in profiles], num_items, step)
        for start in range(0, num_items, step):
            block = slice(start, start + step)
            similarity_GBC = cosines(users_GBD, self._items_GDI[..., block])
            neighbourhoods.add_to(similarity_GBC[0], start)
            above_BC = self._bound.above_bias(similarity_GBC)
            np.add(above_BC, self._bias_I[block], out=bound_BI[:, block])
        return bound_BI

    def _closed(self, queries: Sequence[Query], bound_BI: Floats) -> list[Ranked]:
        """Route from the highest bounds down until no item that is left can be among the best."""
        first: list[Rows] = []
        for query, bound_I in zip(queries, bound_BI, strict=True):
            eligible = query.eligible
            if eligible.only is None:
                bound_I[eligible.left_out] = -np.inf
            else:
                bound_I[~eligible.mask_I] = -np.inf
            first.append(_highest(bound_I, max(FIRST_ROUTED, 2 * query.count)))
        best = self._routed_together(queries, first)
        open_: dict[int, Rows] = {}
        for place, (query, ranked) in enumerate(zip(queries, best, strict=True)):
            bound_I = bound_BI[place]
            bound_I[first[place]] = -np.inf
            slack = _SLACK * (1 + query.profile.neighbourhood.largest_size)
            rest = np.flatnonzero(bound_I >= ranked.scores[-1] - slack)
            if len(rest):
                open_[place] = rest
        if open_:
            others = self._routed_together([queries[place] for place in open_], [*open_.values()])
            for place, more in zip(open_, others, strict=True):
                best[place] = best[place].joined_with(more, queries[place].count)
        return best

    def _routed_together(self, queries: Sequence[Query], rows: Sequence[Rows]) -> list[Ranked]:
        scores = self._scorer.score_own([query.profile for query in queries], rows)
        return [
            Ranked.of(rows_C, scores_C, query.count)
            for query, rows_C, scores_C in zip(queries, rows, scores, strict=True)
        ]

    def _routed(self, query: Query, rows_C: Rows) -> Ranked:
        return Ranked.of(rows_C, self._scorer.score(query.profile, rows_C), query.count)


def _highest(bound_I: Floats, count: int) -> Rows:
    """Rows of about the `count` highest finite bounds, never fewer than half of that, ascending."""
    if len(bound_I) > 2 * _SAMPLED:
        sample = bound_I[:: len(bound_I) // _SAMPLED]
        place = len(sample) - 1 - (count * len(sample)) // len(bound_I)
        rows = np.flatnonzero(bound_I >= np.partition(sample, place)[place])
        if count // 2 <= len(rows) <= 4 * count:
            return rows[np.isfinite(bound_I[rows])]
    rows = np.sort(top_places(bound_I, 0, count))
    return rows[np.isfinite(bound_I[rows])]
