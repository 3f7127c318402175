"""A trained model: the best epoch of a run, ready to be evaluated and exported.

On other data, new items and new users are embedded without training.

Letters: U users, I items, B users of a block, X items of a block, V views, M modalities,
D dimension, J routing channels.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from model.artifact.manifest import EpochRecord, HeldOut
from model.network.config import BEHAVIOUR
from model.network.encoder import DualViewEmbeddings, GraphEncoder
from model.network.fused_scores import routed_scores, unit_rows
from model.network.head import shared_similarity
from model.network.magnet import Magnet, log_popularity
from training.data.dataset import Dataset
from training.data.features import Standardisation
from training.data.histories import fold_in_histories
from training.fit.config import TrainingConfig
from training.fit.distributed import block_rows
from training.fit.graphs import build_graph, spectral_start
from training.fit.item_item import item_item_scores, item_item_weights, no_weights


def build_magnet(dataset: Dataset, config: TrainingConfig, generator: torch.Generator) -> Magnet:
    """A fresh model for a data set."""
    magnet = Magnet(
        config.magnet((BEHAVIOUR, *dataset.features)),
        features=[torch.from_numpy(Standardisation.of(x)(x)) for x in dataset.features.values()],
        popularity_I=_popularity(dataset),
        generator=generator,
    )
    if config.start == "spectral":
        start_ID = torch.from_numpy(spectral_start(dataset.train, config.embedding_dim))
        with torch.no_grad():
            magnet.item_behaviour_ID[:, : start_ID.shape[1]] = start_ID
    return magnet


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """Weights, embeddings and how training went."""

    magnet: Magnet
    embeddings: DualViewEmbeddings
    train_weight_UI: csr_array
    """The users' training histories, weighted by recency."""
    recency_power: float
    """0 where a history has no order."""
    item_item_II: csr_array
    """Weights of the item-item model, times `Magnet.neighbourhood_weight`."""
    history: tuple[EpochRecord, ...] = ()
    best_epoch: int = 0
    trigger_epoch: int | None = None
    early: bool = False
    """Handed over while training goes on."""
    held_out: HeldOut = "unseen"

    @classmethod
    def encoded(
        cls, encoder: GraphEncoder, train_weight_UI: csr_array, recency_power: float
    ) -> Self:
        """The model that an encoder's weights make of its graph, without an item-item model.

        The graph is that of `train_weight_UI`, positives weighted with `recency_power`.
        """
        with torch.no_grad():
            embeddings = encoder.embed()
        return cls(
            magnet=encoder.magnet,
            embeddings=embeddings,
            train_weight_UI=train_weight_UI,
            recency_power=recency_power,
            item_item_II=no_weights(train_weight_UI.shape[1]),
        )

    @classmethod
    def of(cls, magnet: Magnet, dataset: Dataset, recency_power: float) -> Self:
        """The model that weights make of a data set's training part."""
        train_weight_UI = dataset.train_histories.recency_weighted(recency_power)
        graph = build_graph(train_weight_UI, dataset.features.values())
        encoder = GraphEncoder(magnet, graph.to(magnet.item_behaviour_ID.device))
        model = cls.encoded(encoder, train_weight_UI, recency_power)
        weight = magnet.neighbourhood_weight.item()
        if weight == 0:
            return model
        return replace(model, item_item_II=weight * item_item_weights(dataset.train_histories))

    def users(self, weight_BI: csr_array) -> NDArray[np.float32]:
        """Users [B, V, M, D] of weighted histories [B, I]; a user without history is zero."""
        return fold_in_histories(weight_BI, self.embeddings.foldin_IVMD.cpu().numpy())

    def score(self, user_B: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores [B, I] of every item for some users, from their training histories."""
        weight_BI = self.train_weight_UI[user_B]
        return self.score_with(weight_BI, item_item_scores(weight_BI, self.item_item_II))

    @torch.inference_mode()
    def score_with(
        self, weight_BI: csr_array, item_item_BI: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Scores [B, I] from weighted histories and any item-item scores."""
        item_IVMD, head = self.embeddings.item_IVMD, self.magnet.head
        rows = block_rows(item_IVMD.device)
        user_BVMD, near_BI = (
            torch.from_numpy(x).to(item_IVMD.device) for x in (self.users(weight_BI), item_item_BI)
        )
        items = (item_IVMD, head.router.item_evidence(item_IVMD), self.magnet.item_bias())
        item_blocks = list(zip(*(x.split(rows) for x in items), strict=True))
        score_BI = []
        for rows_BVMD, rows_BI in zip(user_BVMD.split(rows), near_BI.split(rows), strict=True):
            user_BJ = head.router.user_evidence(rows_BVMD)
            unit_BVMD = unit_rows(rows_BVMD)
            score_BX = [
                bias_X
                + routed_scores(
                    head,
                    shared_similarity(unit_BVMD, item_XVMD),
                    user_BJ,
                    item_XJ,
                    head.config.gate_threshold,
                    near_BX,
                )
                for (item_XVMD, item_XJ, bias_X), near_BX in zip(
                    item_blocks, rows_BI.split(rows, dim=1), strict=True
                )
            ]
            score_BI.append(torch.cat(score_BX, dim=1))
        result: NDArray[np.float32] = torch.cat(score_BI).cpu().numpy()
        return result


def encode_anew(model: TrainedModel, trained_on: Dataset, dataset: Dataset) -> TrainedModel:
    """The same weights with the items and users of another data set (ours).

    - An item that was trained keeps its behaviour embedding, whatever its row is now.
    - Any other item starts from its features alone: through the encoders, through its content
      neighbours, and through the users who have chosen it since.
    - Features and popularity are standardised as they were for training, because the weights fit
      that scale only. Content neighbours are found anew.

    Args:
        model: trained on `trained_on`.
        trained_on: says which items were trained, and how features and popularity were scaled.
        dataset: its training part gives the graph and the users' histories.

    Raises:
        ValueError: it has other modalities or features of another width.
    """
    if list(dataset.features) != list(trained_on.features):
        raise ValueError(
            f"{dataset.name} has the content modalities {list(dataset.features)}, the model "
            f"was trained with {list(trained_on.features)}"
        )
    trained = model.magnet
    count_I, old_count_I = _popularity(dataset), _popularity(trained_on)
    magnet = Magnet(
        trained.config,
        features=[
            torch.from_numpy(Standardisation.of(trained_on.features[name])(x))
            for name, x in dataset.features.items()
        ],
        popularity_I=count_I,
        generator=torch.Generator(),
    )
    item_behaviour_ID = trained.item_behaviour_ID.detach()
    behaviour = {
        trained_on.item_ids[row]: item_behaviour_ID[row]
        for row in old_count_I.nonzero().flatten().tolist()
    }
    unknown_D = torch.zeros_like(item_behaviour_ID[0])
    rows = [behaviour.get(item_id, unknown_D) for item_id in dataset.item_ids]
    magnet.load_state_dict(trained.state_dict() | {"item_behaviour_ID": torch.stack(rows)})
    old_I = log_popularity(old_count_I)
    spread = old_I.std(correction=0).clamp_min(1e-12)
    magnet.log_popularity_I = (log_popularity(count_I) - old_I.mean()) / spread
    magnet = magnet.to(item_behaviour_ID.device).eval()
    return replace(
        TrainedModel.of(magnet, dataset, model.recency_power),
        history=model.history,
        best_epoch=model.best_epoch,
        trigger_epoch=model.trigger_epoch,
    )


def _popularity(dataset: Dataset) -> Tensor:
    """Training positives of every item [I]."""
    return torch.from_numpy(np.bincount(dataset.train.indices, minlength=len(dataset.item_ids)))
