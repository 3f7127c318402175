"""Upper bounds of all items' scores, from products of the numbers as they are.

For catalogues of which no rounded copy is kept (`model.runtime.quantised`): nothing is held beside
the mapped artifact.

Letters: I items, C candidates, B users, V views, M modalities, G = V * M channels, D dimension,
K experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.runtime.half import in_32_bits
from model.runtime.item_item import ItemItemScores, added_by_block
from service.retrieval.query import Floats

BLOCK_ROWS = 1024
"""Items whose channels are multiplied one after the other while they are in the cache: a channel is
a sixth of every row, and a larger block is read from memory once for each (measured: 1.5 times a
product over the whole rows with 1,024, 2.1 times with 16,384)."""
BLOCK_PAIRS = 16_384
"""Pairs of user and item bounded at once: six channels of them fill half a megabyte, which stays
in a processor's second cache between the steps."""


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


class FloatBounds:
    """The most that every item's score can be, for the items of one model version."""

    def __init__(
        self, items_IVMD: Floats, bias_I: Floats, templates_KM: Floats, reach: float
    ) -> None:
        self._items_GDI = channels(items_IVMD).transpose(0, 2, 1)
        self._bias_I = bias_I
        self._bound = ScoreBound(templates_KM, reach)

    def of(self, users_BVMD: Floats, item_item: Sequence[ItemItemScores]) -> tuple[Floats, Floats]:
        """Bounds [B, I] for some users, and nothing to be added; see `QuantisedBounds.of`."""
        users_GBD = unit_channels(users_BVMD)
        num_items, num_users = len(self._bias_I), len(users_BVMD)
        bound_BI = np.empty((num_users, num_items), dtype=np.float32)
        step = max(1, BLOCK_PAIRS // num_users)
        add_item_item = added_by_block(item_item, num_items, step)
        for start in range(0, num_items, step):
            block = slice(start, start + step)
            similarity_GBC = cosines(users_GBD, in_32_bits(self._items_GDI[..., block]))
            add_item_item(similarity_GBC[0], start)
            above_BC = self._bound.above_bias(similarity_GBC)
            np.add(above_BC, self._bias_I[block], out=bound_BI[:, block])
        return bound_BI, np.zeros(num_users, dtype=np.float32)
