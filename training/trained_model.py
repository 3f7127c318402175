"""A trained model: the best epoch of a run, ready to be evaluated and exported.

Knows histories and embeddings; nothing about how they were trained. Letters: U users, I items,
B users of a block, V views, M modalities, D dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from model.contract.manifest import EpochRecord
from model.dual_view import DualViewEmbeddings, Graph, Propagated
from model.magnet import Magnet
from training.dataset import Dataset
from training.graphs import build_graph
from training.histories import fold_in_histories

_BLOCK_USERS, _BLOCK_ITEMS = 128, 256
"""Routed to each other at once: a block's tensors stay in the processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """Weights, embeddings and the way there."""

    magnet: Magnet
    embeddings: DualViewEmbeddings
    train_weight_UI: csr_array
    """The users' training histories, weighted by recency."""
    recency_power: float
    """0 where the order of a history means nothing."""
    history: tuple[EpochRecord, ...]
    best_epoch: int
    trigger_epoch: int | None

    @classmethod
    def encoded(
        cls,
        magnet: Magnet,
        train_weight_UI: csr_array,
        recency_power: float,
        graph: Graph,
        contents: Sequence[Propagated] | None = None,
    ) -> Self:
        """The model that weights make of a graph; how they came about is for the caller to add.

        Args:
            magnet: around the items of the graph.
            train_weight_UI: what the graph was built from.
            recency_power: of those weights.
            graph: on the device of `magnet`.
            contents: content propagated through both views, if that has been done.
        """
        with torch.no_grad():
            views = magnet.views(graph)
            contents = contents or [magnet.propagate_content(view) for view in views]
            embeddings = magnet.encode(views, contents)
        return cls(
            magnet=magnet,
            embeddings=embeddings,
            train_weight_UI=train_weight_UI,
            recency_power=recency_power,
            history=(),
            best_epoch=0,
            trigger_epoch=None,
        )

    @classmethod
    def of(cls, magnet: Magnet, dataset: Dataset, recency_power: float) -> Self:
        """The model that weights make of a data set's training part."""
        train_weight_UI = dataset.train_histories.recency_weighted(recency_power)
        graph = build_graph(train_weight_UI, dataset.features.values())
        device = magnet.item_behaviour_ID.device
        return cls.encoded(magnet, train_weight_UI, recency_power, graph.to(device))

    def users(self, weight_BI: csr_array) -> NDArray[np.float32]:
        """Users [B, V, M, D] of weighted histories [B, I]; a user without history is zero."""
        return fold_in_histories(weight_BI, self.embeddings.foldin_IVMD.cpu().numpy())

    @torch.inference_mode()
    def score(self, user_B: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores [B, I] of every item for some users, from their training histories."""
        item_IVMD, head = self.embeddings.item_IVMD, self.magnet.head
        user_BVMD = torch.from_numpy(self.users(self.train_weight_UI[user_B])).to(item_IVMD.device)
        item_routing_IJ = head.router.item_evidence(item_IVMD)
        bias_I = self.magnet.item_bias()
        blocks = [x.split(_BLOCK_ITEMS) for x in (item_IVMD, item_routing_IJ, bias_I)]
        score_BI = [
            torch.cat([head.score(block_BVMD, *items) for items in zip(*blocks, strict=True)], 1)
            for block_BVMD in user_BVMD.split(_BLOCK_USERS)
        ]
        result: NDArray[np.float32] = torch.cat(score_BI).cpu().numpy()
        return result
