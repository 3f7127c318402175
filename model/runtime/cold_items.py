"""New items: what a model says of an item that it was not trained with, from its content.

As of an item that was trained but never chosen: no behaviour of its own, the bias of a new item.
Its fold-in row is that of an item at its first choice (ours), so that a session with it says
something. Without an item encoder in the artifact, the items of its categories stand for it.

Letters: X new items, I items, N items of a category, V views, M modalities, D dimension,
J routing channels.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model.registry.items import ItemRecord
from model.runtime.half import rows_of

EncodedBy = Literal["features", "encoder", "categories", "none"]
"""The caller's features; features made of the item's text; the mean of the items of its categories;
or nothing, so that only its bias counts."""
SAMPLED_ITEMS = 2_048
"""Items of a category that its mean is taken over, at most."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdItems:
    """Some new items as a model sees them; the arrays are as those of an artifact."""

    embeddings_XVMD: Floats
    foldin_XVMD: Floats
    routing_XJ: Floats
    bias_X: Floats
    by: Sequence[EncodedBy]

    def arrays(self) -> dict[str, Floats]:
        """By the names of an artifact's tensors."""
        return {
            "item_embeddings": self.embeddings_XVMD,
            "item_foldin": self.foldin_XVMD,
            "item_routing": self.routing_XJ,
            "item_bias": self.bias_X,
        }


def cold_bias(tensors: Mapping[str, NDArray[Any]]) -> np.float32:
    """The bias of an item that nobody has chosen.

    All such items have the same; without one, it is that of the least popular.
    """
    bias_I, popularity_I = tensors["item_bias"], tensors["item_popularity"]
    return np.float32(bias_I[int(np.argmin(popularity_I))])


class CategoryMeans:
    """Stands in for an item encoder: the mean of the categories of an item (ours).

    Rows are as long as those of any item. An item that nobody has chosen has no behaviour in the
    interaction view.
    """

    widths: Mapping[str, int] = {}
    """Of features; it takes none."""

    def __init__(
        self,
        tensors: Mapping[str, NDArray[Any]],
        rows_of_category: Mapping[str, NDArray[np.integer]],
    ) -> None:
        self._tensors = tensors
        self._rows_of_category = rows_of_category
        self._bias = cold_bias(tensors)
        self._means: dict[str, tuple[Floats, Floats, Floats]] = {}
        step = max(1, len(tensors["item_embeddings"]) // SAMPLED_ITEMS)
        sample_NVMD = rows_of(tensors["item_embeddings"])[::step]
        self._length_VM1 = np.linalg.norm(sample_NVMD, axis=-1, keepdims=True).max(axis=0)

    def encoded_by(self, record: ItemRecord) -> EncodedBy:
        """What an item is made of."""
        known = any(name in self._rows_of_category for name in record.categories)
        return "categories" if known else "none"

    def encode(self, records: Sequence[ItemRecord]) -> ColdItems:
        """New items by the categories of each. Blocking."""
        shape_VMD = self._tensors["item_embeddings"].shape[1:]
        embeddings_XVMD, foldin_XVMD = np.zeros((2, len(records), *shape_VMD), dtype=np.float32)
        routing_XJ = np.zeros((len(records), self._tensors["item_routing"].shape[1]), np.float32)
        places_of: defaultdict[frozenset[str], list[int]] = defaultdict(list)
        for place, record in enumerate(records):
            known = self._rows_of_category.keys() & record.categories
            places_of[frozenset(known)].append(place)
        for names, places in places_of.items():
            if names:
                means = zip(*map(self._mean, sorted(names)), strict=True)
                row_VMD, foldin_VMD, routing_J = (np.mean(x, axis=0) for x in means)
                embeddings_XVMD[places] = self._as_long(row_VMD)
                foldin_XVMD[places], routing_XJ[places] = foldin_VMD, routing_J
        embeddings_XVMD[:, 0, 0] = 0
        bias_X = np.full(len(records), self._bias, dtype=np.float32)
        return ColdItems(
            embeddings_XVMD=embeddings_XVMD,
            foldin_XVMD=foldin_XVMD,
            routing_XJ=routing_XJ,
            bias_X=bias_X,
            by=[self.encoded_by(record) for record in records],
        )

    def _mean(self, category: str) -> tuple[Floats, Floats, Floats]:
        """Embedding, fold-in row and routing of a category."""
        if category not in self._means:
            rows_N = self._rows_of_category[category]
            rows_N = rows_N[:: max(1, len(rows_N) // SAMPLED_ITEMS)]
            embedding, foldin, routing = (
                rows_of(self._tensors[name])[rows_N].mean(axis=0)
                for name in ("item_embeddings", "item_foldin", "item_routing")
            )
            self._means[category] = (embedding, foldin, routing)
        return self._means[category]

    def _as_long(self, row_VMD: Floats) -> Floats:
        length_VM1 = np.linalg.norm(row_VMD, axis=-1, keepdims=True)
        longer_VMD: Floats = row_VMD * (self._length_VM1 / np.maximum(length_VM1, 1e-12))
        return longer_VMD
