"""A trained model: the best epoch of a run, ready to be evaluated and exported.

On other data, new items and new users are embedded without training.

Letters: U users, I items, B users of a block, X items of a block, V views, M modalities,
D dimension, J routing channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from model.artifact.manifest import EpochRecord, HeldOut
from model.network.config import BEHAVIOUR
from model.network.encoder import DualViewEmbeddings, GraphEncoder, with_user_part
from model.network.magnet import Magnet, log_popularity
from training.data.dataset import Dataset
from training.data.features import Standardisation
from training.data.histories import fold_in_histories
from training.fit.config import TrainingConfig
from training.fit.distributed import block_rows
from training.fit.graphs import build_graph, spectral_start
from training.fit.item_item import item_item_scores, item_item_weights, no_weights, standardised


def build_magnet(dataset: Dataset, config: TrainingConfig, generator: torch.Generator) -> Magnet:
    """A fresh model for a data set."""
    magnet = Magnet(
        config.magnet((BEHAVIOUR, *dataset.features)),
        features=[torch.from_numpy(Standardisation.of(x)(x)) for x in dataset.features.values()],
        popularity_I=_popularity(dataset),
        trust_U=user_trust(dataset, config.user_trust),
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
    """Weights of the item-item model; without entries if it counts for nothing."""
    history: tuple[EpochRecord, ...] = ()
    best_epoch: int = 0
    trigger_epoch: int | None = None
    early: bool = False
    """Handed over while training goes on."""
    held_out: HeldOut = "unseen"
    events_until: datetime | None = None
    """Of the feedback among its data, see `ArtifactManifest`."""
    erasures: int = 0
    """What its data were rewritten for, see there."""

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
        if magnet.item_item_deviation == 0:
            return model
        return replace(model, item_item_II=item_item_weights(dataset.train_histories))

    def users(self, weight_BI: csr_array) -> NDArray[np.float32]:
        """Users [B, V, M, D] of weighted histories [B, I]; a user without history is zero.

        They are strangers: nothing is known of them but these histories.
        """
        return fold_in_histories(weight_BI, self.embeddings.foldin_IVMD.cpu().numpy())

    @torch.inference_mode()
    def known_users(self, user_B: NDArray[np.int64], weight_BI: csr_array) -> NDArray[np.float32]:
        """Trained users [B, V, M, D] by weighted histories [B, I], their free parts included."""
        part_BD = self.magnet.user_part(torch.from_numpy(user_B).to(self.magnet.trust_U1.device))
        users = torch.from_numpy(self.users(weight_BI))
        known_BVMD: NDArray[np.float32] = with_user_part(users, part_BD.cpu()).numpy()
        return known_BVMD

    def score(self, user_B: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores [B, I] of every item for some users, from their training histories."""
        weight_BI = self.train_weight_UI[user_B]
        score_BI = self.score_with(self.known_users(user_B, weight_BI), self.item_item(weight_BI))
        return score_BI + self._popular_with_newcomers(user_B, weight_BI)

    def _popular_with_newcomers(
        self, user_B: NDArray[np.int64], weight_BI: csr_array
    ) -> NDArray[np.float32]:
        """What popularity says more of users [B, 1 or I] whom training did not know."""
        magnet = self.magnet
        if not magnet.newcomer_popularity:
            return np.zeros((len(user_B), 1), dtype=np.float32)
        known_B = magnet.trust_U1.squeeze(1).cpu().numpy()[user_B] > 0
        items_B = np.diff(weight_BI.indptr)
        more_B = np.where(known_B | (items_B == 0), 0, float(magnet.newcomer_popularity))
        more_B = (more_B / np.maximum(items_B, 1)).astype(np.float32)
        popular_I: NDArray[np.float32] = magnet.popularity_bias().detach().cpu().numpy()
        return more_B[:, None] * popular_I

    def item_item(self, weight_BI: csr_array) -> NDArray[np.float32]:
        """Item-item scores [B, I] of weighted histories, as they join the cosines."""
        deviation = float(self.magnet.item_item_deviation)
        return deviation * standardised(item_item_scores(weight_BI, self.item_item_II))

    @torch.inference_mode()
    def score_with(
        self, user_BVMD: NDArray[np.float32], item_item_BI: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Scores [B, I] of any users and item-item scores."""
        item_IVMD, head = self.embeddings.item_IVMD, self.magnet.head
        rows = block_rows(item_IVMD.device)
        users, near_BI = (
            torch.from_numpy(x).to(item_IVMD.device) for x in (user_BVMD, item_item_BI)
        )
        items = (item_IVMD, head.router.item_evidence(item_IVMD), self.magnet.item_bias())
        item_blocks = list(zip(*(x.split(rows) for x in items), strict=True))
        score_BI = [
            torch.cat(
                [
                    head.score(rows_BVMD, item_XVMD, item_XJ, bias_X, near_BX)
                    for (item_XVMD, item_XJ, bias_X), near_BX in zip(
                        item_blocks, rows_BI.split(rows, dim=1), strict=True
                    )
                ],
                dim=1,
            )
            for rows_BVMD, rows_BI in zip(users.split(rows), near_BI.split(rows), strict=True)
        ]
        result: NDArray[np.float32] = torch.cat(score_BI).cpu().numpy()
        return result


def encode_anew(model: TrainedModel, trained_on: Dataset, dataset: Dataset) -> TrainedModel:
    """The same weights with the items and users of another data set (ours).

    - An item that was trained keeps its behaviour embedding, whatever its row is now.
    - Any other item starts from its features alone: through the encoders, through its content
      neighbours, and through the users who have chosen it since.
    - So with users: whoever was trained keeps their free part, any other has none.
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
        trust_U=torch.zeros(len(dataset.user_ids)),
        generator=torch.Generator(),
    )
    known_I = old_count_I.numpy() > 0
    item_behaviour_ID = rows_by_id(
        trained.item_behaviour_ID.detach(), trained_on.item_ids, dataset.item_ids, known_I
    )
    moved = {
        "item_behaviour_ID": item_behaviour_ID,
        "user_behaviour_UD": rows_by_id(
            trained.user_behaviour_UD.detach(), trained_on.user_ids, dataset.user_ids
        ),
    }
    magnet.load_state_dict(trained.state_dict() | moved)
    magnet.trust_U1 = rows_by_id(trained.trust_U1, trained_on.user_ids, dataset.user_ids)
    old_I = log_popularity(old_count_I)
    spread = old_I.std(correction=0).clamp_min(1e-12)
    magnet.log_popularity_I = (log_popularity(count_I) - old_I.mean()) / spread
    magnet = magnet.to(trained.item_behaviour_ID.device).eval()
    return replace(
        TrainedModel.of(magnet, dataset, model.recency_power),
        history=model.history,
        best_epoch=model.best_epoch,
        trigger_epoch=model.trigger_epoch,
    )


def rows_by_id(
    x_XF: Tensor,
    old_ids: Sequence[str],
    new_ids: Sequence[str],
    known_X: NDArray[np.bool_] | None = None,
) -> Tensor:
    """The rows of `x_XF` in the order of other ids, zero for an id that has none.

    Args:
        x_XF: rows in the order of `old_ids`.
        old_ids: distinct.
        new_ids: distinct.
        known_X: which rows count; None for all.
    """
    row_of = {name: row for row, name in enumerate(old_ids) if known_X is None or known_X[row]}
    old_Y = torch.tensor([row_of.get(name, -1) for name in new_ids], dtype=torch.int64)
    found_YF = x_XF.new_zeros(len(new_ids), *x_XF.shape[1:])
    is_old_Y = old_Y >= 0
    found_YF[is_old_Y.to(x_XF.device)] = x_XF[old_Y[is_old_Y].to(x_XF.device)]
    return found_YF


def user_trust(dataset: Dataset, half: float) -> Tensor:
    """How much the free parts of users count [U]: n / (n + half) with n training positives."""
    length_U = torch.from_numpy(dataset.train_histories.length_U).float()
    return length_U / (length_U + half)


def _popularity(dataset: Dataset) -> Tensor:
    """Training positives of every item [I]."""
    return torch.from_numpy(np.bincount(dataset.train.indices, minlength=len(dataset.item_ids)))
