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
from service.retrieval.neighbourhoods import BlockedNeighbourhoods
from service.retrieval.retriever import Query, Ranked
from service.scorer import OnnxScorer

Floats = NDArray[np.float32]

BLOCK_PAIRS = 16_384
"""Pairs of user and item bounded at once: six channels of them fill half a megabyte, which stays
in a processor's second cache between the steps."""
FIRST_ROUTED = 128
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
"""So large an array of items is copied, channel by channel: products are twice as fast, as every
byte that is read is used. A larger copy would weigh too much in each worker."""
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
        self._items_GID = channels(items_IVMD)
        if items_IVMD.nbytes <= _COPIED_BYTES:
            self._items_GID = np.ascontiguousarray(self._items_GID)
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
            bound_BI = self._bounds([query.profile for query in part])
            found += [self._closed(*pair) for pair in zip(part, bound_BI, strict=True)]
        rest = iter(found)
        return [
            self._routed(query, query.eligible.rows()) if direct else next(rest)
            for query, direct in zip(queries, few, strict=True)
        ]

    def _is_direct(self, query: Query) -> bool:
        return len(query.eligible) <= max(ROUTED_DIRECTLY, 2 * query.count)

    def _bounds(self, profiles: Sequence[Profile]) -> Floats:
        """The most that every item's score can be [B, I]."""
        users_GBD = unit_channels(np.stack([profile.vector_VMD for profile in profiles]))
        num_items = len(self._bias_I)
        bound_BI = np.empty((len(profiles), num_items), dtype=np.float32)
        step = max(1, BLOCK_PAIRS // len(profiles))
        neighbourhoods = BlockedNeighbourhoods(
            [profile.neighbourhood for profile in profiles], num_items, step
        )
        for start in range(0, num_items, step):
            block = slice(start, start + step)
            similarity_GBC = cosines(users_GBD, self._items_GID[:, block])
            neighbourhoods.add_to(similarity_GBC[0], start)
            above_BC = self._bound.above_bias(similarity_GBC)
            np.add(above_BC, self._bias_I[block], out=bound_BI[:, block])
        return bound_BI

    def _closed(self, query: Query, bound_I: Floats) -> Ranked:
        """Route from the highest bounds down until no item that is left can be among the best."""
        eligible, count = query.eligible, query.count
        if eligible.only is None:
            bound_I[eligible.excluded] = -np.inf
        else:
            bound_I[~eligible.mask_I] = -np.inf
        first = _highest(bound_I, max(FIRST_ROUTED, 2 * count))
        best = self._routed(query, first)
        bound_I[first] = -np.inf
        largest = np.abs(query.profile.neighbourhood.values_N).max(initial=0)
        rest = np.flatnonzero(bound_I >= best.scores[-1] - _SLACK * (1 + largest))
        if not len(rest):
            return best
        others = self._routed(query, rest)
        rows = np.concatenate([best.rows, others.rows])
        scores = np.concatenate([best.scores, others.scores])
        order = np.argsort(rows)
        return Ranked.of(rows[order], scores[order], count)

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
