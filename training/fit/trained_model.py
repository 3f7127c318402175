"""A trained model: the best epoch of a run, ready to be evaluated and exported.

Knows histories and embeddings; nothing about how they were trained. Letters: U users, I items,
B users of a block, V views, M modalities, D dimension.
"""

# FOLDED training/fit/trained_model.py: A fresh model for a data set: its modalities, standardised features and popularity.
#
#   Knows data sets and the model's constructor; knows nothing about training. Letters: I items.
#

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from model.artifact.manifest import EpochRecord
from model.network.config import BEHAVIOUR
from model.network.encoder import DualViewEmbeddings, Graph, Propagated, unit_rows
from model.network.fused_scores import routed_scores
from model.network.head import shared_similarity
from model.network.magnet import Magnet
from training.data.dataset import Dataset
from training.data.features import Standardisation
from training.data.histories import fold_in_histories
from training.fit.config import TrainingConfig
from training.fit.distributed import block_rows
from training.fit.graphs import build_graph, spectral_start
from training.fit.item_item import neighbourhood_weights, neighbourhoods, no_neighbourhood


def build_magnet(dataset: Dataset, config: TrainingConfig, generator: torch.Generator) -> Magnet:
    """A fresh model for a data set."""
    popularity_I = np.bincount(dataset.train.indices, minlength=dataset.train.shape[1])
    magnet = Magnet(
        config.magnet((BEHAVIOUR, *dataset.features)),
        features=[torch.from_numpy(Standardisation.of(x)(x)) for x in dataset.features.values()],
        popularity_I=torch.from_numpy(popularity_I),
        generator=generator,
    )
    if config.start == "spectral":
        start_ID = torch.from_numpy(spectral_start(dataset.train, config.embedding_dim))
        with torch.no_grad():
            magnet.item_behaviour_ID[:, : start_ID.shape[1]] = start_ID
    return magnet


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
    neighbourhood_II: csr_array
    """What single items say for others, as loudly as they are heard."""

    @classmethod
    def encoded(
        cls,
        magnet: Magnet,
        train_weight_UI: csr_array,
        recency_power: float,
        graph: Graph,
        contents: Sequence[Propagated] | None = None,
    ) -> Self:
        """The model that weights make of a graph, without a neighbourhood.

        How they came about is for the caller to add.

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
            neighbourhood_II=no_neighbourhood(train_weight_UI.shape[1]),
        )

    @classmethod
    def of(cls, magnet: Magnet, dataset: Dataset, recency_power: float) -> Self:
        """The model that weights make of a data set's training part."""
        train_weight_UI = dataset.train_histories.recency_weighted(recency_power)
        graph = build_graph(train_weight_UI, dataset.features.values())
        device = magnet.item_behaviour_ID.device
        model = cls.encoded(magnet, train_weight_UI, recency_power, graph.to(device))
        weight = magnet.neighbourhood_weight.item()
        if weight == 0:
            return model
        return model.with_neighbourhood(weight * neighbourhood_weights(dataset.train_histories))

    def with_neighbourhood(self, neighbourhood_II: csr_array) -> Self:
        """The same model with these weights of single items for others."""
        return replace(self, neighbourhood_II=neighbourhood_II)

    def users(self, weight_BI: csr_array) -> NDArray[np.float32]:
        """Users [B, V, M, D] of weighted histories [B, I]; a user without history is zero."""
        return fold_in_histories(weight_BI, self.embeddings.foldin_IVMD.cpu().numpy())

    def score(self, user_B: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores [B, I] of every item for some users, from their training histories."""
        weight_BI = self.train_weight_UI[user_B]
        return self.score_with(weight_BI, neighbourhoods(weight_BI, self.neighbourhood_II))

    @torch.inference_mode()
    def score_with(
        self, weight_BI: csr_array, neighbourhood_BI: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Scores [B, I] from weighted histories and neighbourhoods that need not be their own."""
        item_IVMD, head = self.embeddings.item_IVMD, self.magnet.head
        device = item_IVMD.device
        user_BVMD = torch.from_numpy(self.users(weight_BI)).to(device)
        item_routing_IJ = head.router.item_evidence(item_IVMD)
        bias_I = self.magnet.item_bias()
        rows = block_rows(device)
        blocks = [x.split(rows) for x in (item_IVMD, item_routing_IJ, bias_I)]
        near_BI = torch.from_numpy(neighbourhood_BI).to(device)
        score_BI = []
        for rows_BVMD, near_XI in zip(user_BVMD.split(rows), near_BI.split(rows), strict=True):
            near = near_XI.split(rows, dim=1)
            user_BJ = head.router.user_evidence(rows_BVMD)
            unit_BVMD = unit_rows(rows_BVMD)
            parts = [
                bias_X
                + routed_scores(
                    head,
                    shared_similarity(unit_BVMD, block_XVMD),
                    user_BJ,
                    routing_XJ,
                    head.config.gate_threshold,
                    near_BX,
                )
                for block_XVMD, routing_XJ, bias_X, near_BX in zip(*blocks, near, strict=True)
            ]
            score_BI.append(torch.cat(parts, dim=1))
        result: NDArray[np.float32] = torch.cat(score_BI).cpu().numpy()
        return result
