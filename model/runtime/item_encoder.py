"""The exported item encoder: new items by their features, as a model encodes cold items.

Features are sent, or made of an item's text as training has made them (`TextEncoder`). Content
neighbours are found as training finds them: the items of the artifact with the most similar centred
features. They bring their behaviour and their content into the augmented view.

Letters: X new items, I items, B items of a block, E content modalities, M = E + 1 modalities,
V views, D dimension, F width of a modality's features, G width that its encoder takes, N
neighbours.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model.artifact.manifest import ITEM_ENCODER
from model.registry.items import ItemRecord
from model.runtime.cold_items import CategoryMeans, ColdItems, EncodedBy, Floats
from model.runtime.half import rows_of
from model.runtime.scorer import open_session
from model.runtime.text_encoder import TextEncoder

INPUTS = ("given", "neighbours")
"""Beside the features of each modality: which of them are given [X, E], and the mean rows of the
content neighbours of each kind [X, E, M, D]."""
OUTPUTS = ("item", "foldin", "routing", "bias")
NEIGHBOURS = 10
"""As in training (`training.fit.graphs`)."""
TEXT = "text"
"""The content modality whose features are made of texts."""
_ITEMS_AT_ONCE = 128
_COMPARED_AT_ONCE = 32
"""With the items of a block: two milliseconds."""
_BLOCK_ROWS = 8_192
Pauses = Callable[[Iterable[int]], Iterable[int]]
"""Gives the same numbers, with pauses for others to work."""
_GROUP = 64
"""Numbers of which the maximum is looked at first."""


def feature_input(m: int) -> str:
    """The name of the input for the features [X, F] of the m-th content modality."""
    return f"feature_{m}"


def key_output(m: int) -> str:
    """The name of the output with unit rows [X, G], by which neighbours are found."""
    return f"key_{m}"


@dataclass(frozen=True, slots=True)
class _Content:
    """What is known of some items."""

    features: Sequence[Floats]
    """Of each content modality [X, F]; zeros where there are none."""
    given_XE: Floats
    """1 where there are, else 0."""
    sent_X: NDArray[np.bool_]
    """Whether any were sent; texts may have given the others."""

    def of(self, places: NDArray[np.intp]) -> "_Content":
        """Of some of the items."""
        return _Content(
            [x_XF[places] for x_XF in self.features], self.given_XE[places], self.sent_X[places]
        )


class ItemEncoder:
    """Encodes new items of one model version; those that it has no features of by category."""

    def __init__(
        self,
        graph: bytes,
        tensors: Mapping[str, NDArray[Any]],
        contents: Sequence[str],
        categories: CategoryMeans,
        pauses: Pauses = iter,
    ) -> None:
        """ArtifactError if the graph cannot be used.

        Args:
            graph: `item_encoder.onnx`.
            tensors: the artifact's.
            contents: names of the content modalities.
            categories: for items without usable features, sent or made of their texts.
            pauses: made between pieces of work.
        """
        self._pauses = pauses
        self._texts = TextEncoder.of(tensors) if TEXT in contents else None
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
        pauses: Pauses = iter,
    ) -> Self | CategoryMeans:
        """The encoder of an artifact; one without the graph knows new items by their categories."""
        if ITEM_ENCODER not in files:
            return categories
        return cls(files[ITEM_ENCODER], tensors, modalities[1:], categories, pauses)

    def encoded_by(self, record: ItemRecord) -> EncodedBy:
        """What an item would be made of."""
        if self._usable(record):
            return "features"
        if self._texts is not None and self._texts.knows(record):
            return "encoder"
        return self._categories.encoded_by(record)

    def encode(self, records: Sequence[ItemRecord]) -> ColdItems:
        """New items. Blocking."""
        found = self._categories.encode(records)
        by = list(found.by)
        arrays = (found.embeddings_XVMD, found.foldin_XVMD, found.routing_XJ, found.bias_X)
        for start in self._pauses(range(0, len(records), _ITEMS_AT_ONCE)):
            content = self._content(records[start : start + _ITEMS_AT_ONCE])
            chosen = np.flatnonzero(content.given_XE.any(axis=1))
            if not len(chosen):
                continue
            for array, rows_X in zip(arrays, self._encode(content.of(chosen)), strict=True):
                array[start + chosen] = rows_X
            for place in chosen.tolist():
                by[start + place] = "features" if content.sent_X[place] else "encoder"
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

    def _content(self, records: Sequence[ItemRecord]) -> "_Content":
        """What is known of some items: the features sent, and those of texts where none are."""
        x_XF = [np.zeros((len(records), self.widths[x]), np.float32) for x in self._contents]
        given_XE = np.zeros((len(records), len(self._contents)), dtype=np.float32)
        for place, record in enumerate(records):
            for name, vector in self._usable(record).items():
                m = self._contents.index(name)
                x_XF[m][place], given_XE[place, m] = vector, 1
        sent_X = np.asarray(given_XE.any(axis=1))
        if self._texts is not None:
            m = self._contents.index(TEXT)
            bare = np.flatnonzero(given_XE[:, m] == 0).tolist()
            x_XF[m][bare] = made_XF = self._texts.encode([records[place] for place in bare])
            given_XE[bare, m] = made_XF.any(axis=1)
        return _Content(x_XF, given_XE, sent_X)

    def _encode(self, content: "_Content") -> list[Floats]:
        """What the graph makes of some items."""
        num_modalities, dim = self._tensors["item_embeddings"].shape[2:]
        nobody = np.zeros((*content.given_XE.shape, num_modalities, dim), dtype=np.float32)
        feeds = {feature_input(m): x_XF for m, x_XF in enumerate(content.features)}
        feeds |= dict(zip(INPUTS, (content.given_XE, nobody), strict=True))
        names = [key_output(m) for m in range(len(self._contents))]
        keys = self._session.run(names, feeds)
        rows = [self._mean_rows(*each) for each in zip(keys, self._columns, strict=True)]
        feeds[INPUTS[1]] = np.stack(rows, axis=1)
        made: list[Floats] = self._session.run(OUTPUTS, feeds)
        return made

    def _mean_rows(self, key_XG: Floats, columns: slice) -> Floats:
        """The mean propagated rows of the neighbours in one modality [X, M, D], by similarity."""
        embeddings_IVMD = rows_of(self._tensors["item_embeddings"])
        length_IM = self._tensors["item_lengths"]
        mean_XMD = np.zeros((len(key_XG), *embeddings_IVMD.shape[2:]), dtype=np.float32)
        given = np.flatnonzero(key_XG.any(axis=1))
        if len(given):
            row_XN, weight_XN = self._nearest(key_XG[given], columns)
            weight_XN = np.maximum(weight_XN, 0)
            weight_XN /= np.maximum(weight_XN.sum(axis=1, keepdims=True), 1e-12)
            raw_XNMD = embeddings_IVMD[row_XN, 0] * length_IM[row_XN][..., None]
            mean_XMD[given] = np.einsum("xn,xnmd->xmd", weight_XN, raw_XNMD)
        return mean_XMD

    def _nearest(self, key_XG: Floats, columns: slice) -> tuple[NDArray[np.intp], Floats]:
        """Rows and similarities [X, N] of the items with the most similar features."""
        content_IG = self._tensors["item_content"]
        row_XN = np.zeros((len(key_XG), 0), dtype=np.intp)
        best_XN = np.zeros((len(key_XG), 0), dtype=np.float32)
        for start in self._pauses(range(0, len(content_IG), _BLOCK_ROWS)):
            block_BG = content_IG[start : start + _BLOCK_ROWS, columns].astype(np.float32)
            firsts = self._pauses(range(0, len(key_XG), _COMPARED_AT_ONCE))
            parts = [
                _largest(key_XG[first : first + _COMPARED_AT_ONCE] @ block_BG.T, NEIGHBOURS)
                for first in firsts
            ]
            place_XN, similarity_XN = (np.concatenate(each) for each in zip(*parts, strict=True))
            row_XN = np.concatenate([row_XN, start + place_XN], axis=1)
            best_XN = np.concatenate([best_XN, similarity_XN], axis=1)
            if start:
                place_XN, best_XN = _largest(best_XN, NEIGHBOURS)
                row_XN = np.take_along_axis(row_XN, place_XN, axis=1)
        return row_XN, best_XN


def _largest(x_XB: Floats, count: int) -> tuple[NDArray[np.intp], Floats]:
    """Places and values [X, N] of the largest numbers of every row, in any order.

    They lie in the groups with the largest maxima, of which there are as many: a tenth of the time
    of looking at all numbers.
    """
    if x_XB.shape[1] <= count * _GROUP:
        num = min(count, x_XB.shape[1])
        place_XN = np.argpartition(-x_XB, num - 1, axis=1)[:, :num]
    else:
        starts = np.arange(0, x_XB.shape[1], _GROUP)
        most_XS = np.maximum.reduceat(x_XB, starts, axis=1)
        group_XN = np.argpartition(-most_XS, count - 1, axis=1)[:, :count]
        within_XC = (starts[group_XN][..., None] + np.arange(_GROUP)).reshape(len(x_XB), -1)
        chosen_XC = np.take_along_axis(x_XB, np.minimum(within_XC, x_XB.shape[1] - 1), axis=1)
        chosen_XC[within_XC >= x_XB.shape[1]] = -np.inf
        of_chosen_XN = np.argpartition(-chosen_XC, count - 1, axis=1)[:, :count]
        place_XN = np.take_along_axis(within_XC, of_chosen_XN, axis=1)
    return place_XN, np.take_along_axis(x_XB, place_XN, axis=1)
