"""The exact first stage: bounds the score of every item, routes those that could be among the best.

The answer is that of routing every item.

Letters: I items, C candidates, B users, V views, M modalities, G = V * M channels, D dimension,
K experts, E entries of all users' item-item scores.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from model.runtime.item_item import ItemItemScores, SparseScores
from model.runtime.profile import Profile
from model.runtime.scorer import OnnxScorer
from model.runtime.top_k import Rows, top_places
from service.retrieval.query import Floats, Query, Ranked, Tensors

BLOCK_ROWS = 1024
"""Items whose channels are multiplied one after the other while they are in the cache: a channel is
a sixth of every row, and a larger block is read from memory once for each (measured: 1.5 times a
product over the whole rows with 1,024, 2.1 times with 16,384)."""
BLOCK_PAIRS = 16_384
"""Pairs of user and item bounded at once: six channels of them fill half a megabyte, which stays
in a processor's second cache between the steps."""
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
_COPIED_BYTES = 32 * 1024 * 1024
"""An array of items of at most this size is copied, channel by channel and in each of them number
by number: products are twice as fast. A larger copy would weigh too much in each worker."""
_BOUNDS_BYTES = 64 * 1024 * 1024
"""Most memory for the bounds of one batch of users."""


@dataclass(frozen=True, slots=True)
class ScoreBound:
    """The most that routing can make of an item's score, from its similarities alone (ours).

    A score is bias + reach * (sum over k, v, m of weight[k] * t[k, m] * share[v] * s[v, m]) with t
    the experts' templates and s the similarities. A similarity is a product of vectors; where an
    item-item score is added, it is any number of either sign. Weights and shares are never negative
    and sum to 1.

    Let x[m] be the larger of the views' similarities for modality m. The shares of the views make a
    mean of the similarities, which is at most x[m]; the experts' weights make a mean of what each
    of them says. So, whatever the router does, a score is at most

        bias + reach * max over k of (sum over m of t[k, m] * x[m])
    """

    templates_KM: Floats
    """Every expert's weights of the modalities."""
    reach: float
    """What a pair gets above its bias where every similarity is 1."""

    @classmethod
    def of(cls, templates_KM: Sequence[Sequence[float]], reach: float) -> "ScoreBound":
        """The bound for experts with these templates."""
        return cls(np.array(templates_KM, dtype=np.float32), reach)

    def above_bias(self, similarity_GBC: Floats) -> Floats:
        """The most by which each pair's score can exceed the item's bias [B, C]."""
        num_modalities = self.templates_KM.shape[1]
        best_MBC = similarity_GBC[:num_modalities].copy()
        for start in range(num_modalities, len(similarity_GBC), num_modalities):
            view_MBC = similarity_GBC[start : start + num_modalities]
            np.maximum(best_MBC, view_MBC, out=best_MBC)
        scaled_KM = np.float32(self.reach) * self.templates_KM
        most_BC: Floats = np.tensordot(scaled_KM[0], best_MBC, axes=1)
        for template_M in scaled_KM[1:]:
            np.maximum(most_BC, np.tensordot(template_M, best_MBC, axes=1), out=most_BC)
        return most_BC


def channels(items_IVMD: Floats) -> Floats:
    """The same memory as [G, I, D]."""
    num_items, *_, width = items_IVMD.shape
    return items_IVMD.reshape(num_items, -1, width).transpose(1, 0, 2)


def unit_channels(users_BVMD: Floats) -> Floats:
    """Users' rows at unit length [G, B, D]; zero rows stay zero."""
    users_GBD = channels(users_BVMD)
    length_GB1 = np.linalg.norm(users_GBD, axis=-1, keepdims=True)
    unit_GBD: Floats = users_GBD / np.maximum(length_GB1, np.float32(1e-12))
    return unit_GBD


def cosines(users_GBD: Floats, items_GDC: Floats) -> Floats:
    """Cosines of every user with every item in every channel [G, B, C], a product per channel.

    Items may lie in memory in either order, number by number or vector by vector.
    """
    num_channels, num_users, _ = users_GBD.shape
    num_items = items_GDC.shape[2]
    number_by_number = items_GDC.strides[2] == items_GDC.itemsize
    if num_users > 1 or number_by_number:
        product_GBC: Floats = np.matmul(users_GBD, items_GDC)
        return product_GBC
    user_GD1 = users_GBD.transpose(0, 2, 1)
    product_GC1 = np.empty((num_channels, num_items, 1), dtype=np.float32)
    for start in range(0, num_items, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        items_GCD = items_GDC[..., block].transpose(0, 2, 1)
        np.matmul(items_GCD, user_GD1, out=product_GC1[:, block])
    return product_GC1.reshape(num_channels, 1, num_items)


AddTo = Callable[[Floats, int], None]
"""Adds item-item scores to the similarities [B, C] of the block of rows that begins at a row."""


def added_by_block(scores: Sequence[ItemItemScores], num_items: int, step: int) -> AddTo:
    """The item-item scores of B users, laid out once for blocks of `step` rows."""
    sparse = [each for each in scores if isinstance(each, SparseScores)]
    if len(sparse) == len(scores):
        return _sparse_by_block(sparse, num_items, step)
    values = [each.between(0, num_items) for each in scores]

    def add_to(similarity_BC: Floats, start: int) -> None:
        stop = start + similarity_BC.shape[1]
        for similarity_C, value_I in zip(similarity_BC, values, strict=True):
            similarity_C += value_I[start:stop]

    return add_to


def _sparse_by_block(scores: Sequence[SparseScores], num_items: int, step: int) -> AddTo:
    """A block costs one addition, however many users share it."""
    row_E = np.concatenate([each.rows_N for each in scores])
    value_E = np.concatenate([each.values_N for each in scores])
    user_E = np.repeat(np.arange(len(scores)), [len(each) for each in scores])
    block_E, place_E = np.divmod(row_E, step)
    if len(scores) > 1:
        order_E = np.argsort(block_E.astype(np.int32), kind="stable")
        block_E, place_E = block_E[order_E], place_E[order_E]
        value_E, user_E = value_E[order_E], user_E[order_E]
    starts = block_E.searchsorted(np.arange(-(-num_items // step) + 1)).tolist()

    def add_to(similarity_BC: Floats, start: int) -> None:
        block = start // step
        part = slice(starts[block], starts[block + 1])
        if part.start < part.stop:
            similarity_BC[user_E[part], place_E[part]] += value_E[part]

    return add_to


class ExactRetriever:
    """Finds the best items of one model version; safe to share by threads."""

    name: Literal["exact"] = "exact"

    def __init__(
        self, scorer: OnnxScorer, tensors: Tensors, templates_KM: Sequence[Sequence[float]]
    ) -> None:
        self._scorer = scorer
        items_IVMD, bias_I = tensors["item_embeddings"], tensors["item_bias"]
        self._items_GDI = channels(items_IVMD).transpose(0, 2, 1)
        if items_IVMD.nbytes <= _COPIED_BYTES:
            self._items_GDI = np.ascontiguousarray(self._items_GDI)
        self._bias_I = bias_I
        self._bound = ScoreBound.of(templates_KM, scorer.reach())
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
                scores_C = query.pointed(rows_C, self._scorer.score(query.profile, rows_C))
                found[place] = Ranked.of(rows_C, scores_C, query.count)
        for start in range(0, len(bounded), self.most_users):
            part = bounded[start : start + self.most_users]
            found |= zip(part, self._bounded([queries[place] for place in part]), strict=True)
        return [found[place] for place in range(len(queries))]

    def _bounds(self, profiles: Sequence[Profile]) -> Floats:
        """The most that every item's score can be [B, I]."""
        users_GBD = unit_channels(np.stack([profile.vector_VMD for profile in profiles]))
        num_items = len(self._bias_I)
        bound_BI = np.empty((len(profiles), num_items), dtype=np.float32)
        step = max(1, BLOCK_PAIRS // len(profiles))
        add_item_item = added_by_block([each.item_item for each in profiles], num_items, step)
        for start in range(0, num_items, step):
            block = slice(start, start + step)
            similarity_GBC = cosines(users_GBD, self._items_GDI[..., block])
            add_item_item(similarity_GBC[0], start)
            above_BC = self._bound.above_bias(similarity_GBC)
            np.add(above_BC, self._bias_I[block], out=bound_BI[:, block])
        return bound_BI

    def _bounded(self, queries: Sequence[Query]) -> list[Ranked]:
        """Route from the highest bounds down until no item that is left can be among the best."""
        bound_BI = self._bounds([query.profile for query in queries])
        first: list[Rows] = []
        for query, bound_I in zip(queries, bound_BI, strict=True):
            eligible = query.eligible
            if query.points_I is not None:
                bound_I += query.points_I
            if eligible.only is None:
                bound_I[eligible.left_out] = -np.inf
            else:
                bound_I[~eligible.mask_I] = -np.inf
            first.append(_highest(bound_I, max(FIRST_ROUTED, 2 * query.count)))
        best = self._routed(queries, first)
        left: dict[int, Rows] = {}
        for place, (query, ranked) in enumerate(zip(queries, best, strict=True)):
            bound_I = bound_BI[place]
            bound_I[first[place]] = -np.inf
            slack = _SLACK * (1 + query.profile.item_item.largest_size + _largest_points(query))
            rest = np.flatnonzero(bound_I >= ranked.scores[-1] - slack)
            if len(rest):
                left[place] = rest
        if left:
            others = self._routed([queries[place] for place in left], [*left.values()])
            for place, more in zip(left, others, strict=True):
                best[place] = best[place].joined_with(more, queries[place].count)
        return best

    def _routed(self, queries: Sequence[Query], rows: Sequence[Rows]) -> list[Ranked]:
        """The best of each query's own rows."""
        scores = self._scorer.score_own([query.profile for query in queries], rows)
        return [
            Ranked.of(rows_C, query.pointed(rows_C, scores_C), query.count)
            for query, rows_C, scores_C in zip(queries, rows, scores, strict=True)
        ]


def _largest_points(query: Query) -> float:
    return 0.0 if query.points_I is None else float(np.abs(query.points_I).max(initial=0))


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
