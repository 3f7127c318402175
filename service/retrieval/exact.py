"""The exact first stage: bounds every item's score, routes those that could be among the best.

The answer is that of routing every item. Knows users' profiles and rows; knows nothing about ids.

Letters: I items, C candidates, B users, V views, M modalities, G = V * M channels, D dimension.
"""

# FOLDED service/retrieval/exact.py: The most that routing can make of an item's score, from its similarities alone.
#
#   A score is bias + reach * sum of share[v, m] * similarity[v, m]. A similarity is a cosine, or with a
#   neighbourhood any number of either sign. The shares are those of experts times those of views: none
#   below zero, one in sum, and modality m never below `least_M[m]`, the least that any expert gives it.
#   Whatever the router does, the score is at most
#
#       bias + reach * (sum over m of least_M[m] * x[m] + (1 - sum of least_M) * max over m of x[m])
#
#   with x[m] the larger of the views' similarities: the views' shares make a mean of these, and what
#   modalities' shares have above the least makes a mean of x, times its sum. No mean is above its
#   largest term, whatever the signs. Ours. Knows nothing about users or about ONNX.
#
#   Letters: C candidates, B users, V views, M modalities, G = V * M channels, K experts.
#
# FOLDED service/retrieval/exact.py: Cosines of users with items, channel by channel: one matrix product per channel.
#
#   Knows arrays; knows nothing about routing.
#
#   Letters: I items, C candidates, B users, V views, M modalities, G = V * M channels, D dimension.
#
# FOLDED service/retrieval/exact.py: The neighbourhoods of several users, added to blocks of their similarities.
#
#   Laid out by blocks once, so that a block costs one addition however many users share it. Knows
#   arrays; knows nothing about routing.
#
#   Letters: B users, I items, C items of one block, E entries of all users' neighbourhoods.
#

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model.runtime.item_item import ItemItemScores, SparseScores
from model.runtime.profile import Profile
from model.runtime.scorer import OnnxScorer
from model.runtime.top_k import Rows, top_places
from service.retrieval.query import Query, Ranked

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ScoreBound:
    """The bound of one model."""

    least_M: Floats
    """The least weight that any expert gives each modality."""
    reach: float
    """What a pair gets above its bias where every similarity is 1."""

    @classmethod
    def of(cls, templates_KM: Sequence[Sequence[float]], reach: float) -> "ScoreBound":
        """The bound for experts with these templates."""
        return cls(np.array(templates_KM, dtype=np.float32).min(axis=0), reach)

    def above_bias(self, similarity_GBC: Floats) -> Floats:
        """The most by which each pair's score can exceed the item's bias [B, C]."""
        num_modalities = len(self.least_M)
        best_MBC = similarity_GBC[:num_modalities].copy()
        for start in range(num_modalities, len(similarity_GBC), num_modalities):
            view_MBC = similarity_GBC[start : start + num_modalities]
            np.maximum(best_MBC, view_MBC, out=best_MBC)
        most_BC: Floats = best_MBC[0].copy()
        for best_BC in best_MBC[1:]:  # half the time of a maximum over the first axis
            np.maximum(most_BC, best_BC, out=most_BC)
        most_BC *= np.float32(self.reach) * (1 - self.least_M.sum())
        for least, x_BC in zip(self.least_M * np.float32(self.reach), best_MBC, strict=True):
            x_BC *= least
            most_BC += x_BC
        return most_BC


Vectors = NDArray[np.float32]


BLOCK_ROWS = 1024
"""Items whose channels are multiplied one after the other while they are in the cache: a channel is
a sixth of every row, and a larger block is read from memory once for each (measured: 1.5 times a
product over the whole rows with 1,024, 2.1 times with 16,384)."""


def channels(items_IVMD: Vectors) -> Vectors:
    """The same memory as [G, I, D]."""
    num_items, *_, width = items_IVMD.shape
    return items_IVMD.reshape(num_items, -1, width).transpose(1, 0, 2)


def unit_channels(users_BVMD: Vectors) -> Vectors:
    """Users' rows at unit length [G, B, D]; zero rows stay zero."""
    users_GBD = channels(users_BVMD)
    length_GB1 = np.linalg.norm(users_GBD, axis=-1, keepdims=True)
    unit_GBD: Vectors = users_GBD / np.maximum(length_GB1, np.float32(1e-12))
    return unit_GBD


def cosines(users_GBD: Vectors, items_GDC: Vectors) -> Vectors:
    """Cosines of every user with every item in every channel [G, B, C].

    Items may lie in memory in either order, number by number or vector by vector.
    """
    num_channels, num_users, _ = users_GBD.shape
    num_items = items_GDC.shape[2]
    number_by_number = items_GDC.strides[2] == items_GDC.itemsize
    if num_users > 1 or number_by_number:
        product_GBC: Vectors = np.matmul(users_GBD, items_GDC)
        return product_GBC
    user_GD1 = users_GBD.transpose(0, 2, 1)
    product_GC1 = np.empty((num_channels, num_items, 1), dtype=np.float32)
    for start in range(0, num_items, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        items_GCD = items_GDC[..., block].transpose(0, 2, 1)
        np.matmul(items_GCD, user_GD1, out=product_GC1[:, block])
    return product_GC1.reshape(num_channels, 1, num_items)


class BlockedNeighbourhoods(Protocol):
    """Neighbourhoods of B users by blocks of rows."""

    def add_to(self, behaviour_BC: Floats, start: int) -> None:
        """Add those of the rows from `start` on, which begins a block, to all users' values."""


def blocked(
    neighbourhoods: Sequence[ItemItemScores], num_items: int, step: int
) -> BlockedNeighbourhoods:
    """Those of B users by blocks of `step` rows."""
    named = [each for each in neighbourhoods if isinstance(each, SparseScores)]
    if len(named) == len(neighbourhoods):
        return _Named(named, num_items, step)
    return _Whole([each.between(0, num_items) for each in neighbourhoods])


class _Whole:
    def __init__(self, values: Sequence[Floats]) -> None:
        self._values = values

    def add_to(self, behaviour_BC: Floats, start: int) -> None:
        stop = start + behaviour_BC.shape[1]
        for behaviour_C, value_I in zip(behaviour_BC, self._values, strict=True):
            behaviour_C += value_I[start:stop]


class _Named:
    def __init__(self, neighbourhoods: Sequence[SparseScores], num_items: int, step: int) -> None:
        self._step = step
        num_blocks = -(-num_items // step)
        if not any(map(len, neighbourhoods)):  # a model without any pays for none
            self._starts = np.zeros(num_blocks + 1, dtype=np.intp)
            return
        rows_E = np.concatenate([each.rows_N for each in neighbourhoods])
        values_E = np.concatenate([each.values_N for each in neighbourhoods])
        users_E = np.repeat(np.arange(len(neighbourhoods)), [len(each) for each in neighbourhoods])
        block_E, place_E = np.divmod(rows_E, step)
        if len(neighbourhoods) > 1:
            order_E = np.argsort(block_E.astype(np.int32), kind="stable")
            block_E, place_E = block_E[order_E], place_E[order_E]
            values_E, users_E = values_E[order_E], users_E[order_E]
        self._users_E, self._place_E, self._values_E = users_E, place_E, values_E
        self._starts = block_E.searchsorted(np.arange(num_blocks + 1))

    def add_to(self, behaviour_BC: Floats, start: int) -> None:
        block = start // self._step
        part = slice(self._starts[block], self._starts[block + 1])
        if part.start == part.stop:
            return
        behaviour_BC[self._users_E[part], self._place_E[part]] += self._values_E[part]


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
        neighbourhoods = blocked([profile.item_item for profile in profiles], num_items, step)
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
            slack = _SLACK * (1 + query.profile.item_item.largest_size)
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
