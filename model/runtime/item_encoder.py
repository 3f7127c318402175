"""The exported item encoder: new items by their features, as a model encodes cold items.

Its content neighbours are found as training finds them: the items of the artifact with the most
similar centred features. They bring their behaviour and their content into the augmented view.

Letters: X new items, I items, B items of a block, E content modalities, M = E + 1 modalities,
V views, D dimension, F width of a modality's features, G width that its encoder takes, N
neighbours.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model.artifact.manifest import ITEM_ENCODER
from model.registry.items import ItemRecord
from model.runtime.cold_items import CategoryMeans, ColdItems, EncodedBy, Floats
from model.runtime.scorer import open_session

INPUTS = ("given", "neighbours")
"""Beside the features of each modality: which of them are given [X, E], and the mean rows of the
content neighbours of each kind [X, E, M, D]."""
OUTPUTS = ("item", "foldin", "routing", "bias")
NEIGHBOURS = 10
"""As in training (`training.fit.graphs`)."""
_ITEMS_AT_ONCE = 512
_BLOCK_ROWS = 8_192


def feature_input(m: int) -> str:
    """The name of the input for the features [X, F] of the m-th content modality."""
    return f"feature_{m}"


def key_output(m: int) -> str:
    """The name of the output with unit rows [X, G], by which neighbours are found."""
    return f"key_{m}"


class ItemEncoder:
    """Encodes new items of one model version; those without features by their categories."""

    def __init__(
        self,
        graph: bytes,
        tensors: Mapping[str, NDArray[Any]],
        contents: Sequence[str],
        categories: CategoryMeans,
    ) -> None:
        """ArtifactError if the graph cannot be used.

        Args:
            graph: `item_encoder.onnx`.
            tensors: the artifact's.
            contents: names of the content modalities.
            categories: for items without usable features.
        """
        self._session = open_session(ITEM_ENCODER, graph)
        self._categories = categories
        self._tensors = tensors
        self._contents = contents
        shapes = {node.name: node.shape for node in self._session.get_inputs()}
        self.widths = {name: shapes[feature_input(m)][1] for m, name in enumerate(contents)}
        """Of the features of each content modality."""
        keys = {node.name: node.shape[-1] for node in self._session.get_outputs() if node.shape}
        ends = np.cumsum([0, *(keys[key_output(m)] for m in range(len(contents)))]).tolist()
        self._columns = [slice(*ends) for ends in pairwise(ends)]

    @classmethod
    def of(
        cls,
        files: Mapping[str, bytes],
        tensors: Mapping[str, NDArray[Any]],
        modalities: Sequence[str],
        categories: CategoryMeans,
    ) -> Self | CategoryMeans:
        """The encoder of an artifact; one without the graph knows new items by their categories."""
        if ITEM_ENCODER not in files:
            return categories
        return cls(files[ITEM_ENCODER], tensors, modalities[1:], categories)

    def encoded_by(self, record: ItemRecord) -> EncodedBy:
        """What an item would be made of."""
        return "features" if self._usable(record) else self._categories.encoded_by(record)

    def encode(self, records: Sequence[ItemRecord]) -> ColdItems:
        """New items. Blocking."""
        found = self._categories.encode(records)
        by = list(found.by)
        places = [place for place, record in enumerate(records) if self._usable(record)]
        for start in range(0, len(places), _ITEMS_AT_ONCE):
            part = places[start : start + _ITEMS_AT_ONCE]
            made = self._encode([self._usable(records[place]) for place in part])
            arrays = (found.embeddings_XVMD, found.foldin_XVMD, found.routing_XJ, found.bias_X)
            for array, rows_X in zip(arrays, made, strict=True):
                array[part] = rows_X
            for place in part:
                by[place] = "features"
        return ColdItems(
            embeddings_XVMD=found.embeddings_XVMD,
            foldin_XVMD=found.foldin_XVMD,
            routing_XJ=found.routing_XJ,
            bias_X=found.bias_X,
            by=by,
        )

    def _usable(self, record: ItemRecord) -> dict[str, Sequence[float]]:
        """The features that fit this model; a row of zeros stands for none, as in training."""
        return {
            name: vector
            for name, vector in record.features.items()
            if self.widths.get(name) == len(vector) and any(vector)
        }

    def _encode(self, features: Sequence[Mapping[str, Sequence[float]]]) -> list[Floats]:
        """What the graph makes of the features of some items."""
        given_XE = np.zeros((len(features), len(self._contents)), dtype=np.float32)
        feeds: dict[str, Floats] = {}
        for m, name in enumerate(self._contents):
            x_XF = np.zeros((len(features), self.widths[name]), dtype=np.float32)
            for place, of_item in enumerate(features):
                if name in of_item:
                    x_XF[place], given_XE[place, m] = of_item[name], 1
            feeds[feature_input(m)] = x_XF
        num_modalities, dim = self._tensors["item_embeddings"].shape[2:]
        nobody = np.zeros((*given_XE.shape, num_modalities, dim), dtype=np.float32)
        feeds |= dict(zip(INPUTS, (given_XE, nobody), strict=True))
        names = [key_output(m) for m in range(len(self._contents))]
        keys = self._session.run(names, feeds)
        rows = [self._mean_rows(*each) for each in zip(keys, self._columns, strict=True)]
        feeds[INPUTS[1]] = np.stack(rows, axis=1)
        made: list[Floats] = self._session.run(OUTPUTS, feeds)
        return made

    def _mean_rows(self, key_XG: Floats, columns: slice) -> Floats:
        """The mean propagated rows of the neighbours in one modality [X, M, D], by similarity."""
        row_XN, weight_XN = self._nearest(key_XG, columns)
        weight_XN = np.maximum(weight_XN, 0)
        weight_XN /= np.maximum(weight_XN.sum(axis=1, keepdims=True), 1e-12)
        embeddings_IVMD, length_IM = self._tensors["item_embeddings"], self._tensors["item_lengths"]
        raw_XNMD = embeddings_IVMD[row_XN, 0] * length_IM[row_XN][..., None]
        mean_XMD: Floats = np.einsum("xn,xnmd->xmd", weight_XN, raw_XNMD)
        return mean_XMD

    def _nearest(self, key_XG: Floats, columns: slice) -> tuple[NDArray[np.intp], Floats]:
        """Rows and similarities [X, N] of the items with the most similar features."""
        content_IG = self._tensors["item_content"]
        count = min(NEIGHBOURS, len(content_IG))
        row_XN = np.zeros((len(key_XG), count), dtype=np.intp)
        best_XN = np.full((len(key_XG), count), -np.inf, dtype=np.float32)
        for start in range(0, len(content_IG), _BLOCK_ROWS):
            block_BG = content_IG[start : start + _BLOCK_ROWS, columns].astype(np.float32)
            similarity_XB = key_XG @ block_BG.T
            better = np.flatnonzero(similarity_XB.max(axis=1) > best_XN.min(axis=1))
            if not len(better):
                continue
            rows_B = np.arange(start, start + len(block_BG))
            rows_B = np.broadcast_to(rows_B, (len(better), len(block_BG)))
            both = np.concatenate([best_XN[better], similarity_XB[better]], axis=1)
            rows = np.concatenate([row_XN[better], rows_B], axis=1)
            place = np.argpartition(-both, count - 1, axis=1)[:, :count]
            best_XN[better] = np.take_along_axis(both, place, axis=1)
            row_XN[better] = np.take_along_axis(rows, place, axis=1)
        return row_XN, best_XN
