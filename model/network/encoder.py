"""Embeddings of items in both views, and of users by folding their histories in (ours).

Letters: I items, X items that are wanted, B users of a batch, V views, M modalities, D dimension,
F width of all features side by side.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from model.network.config import VIEWS
from model.network.graph import Graph, Propagation, SparseOperator
from model.network.magnet import Magnet
from model.network.rows import unit_rows


@dataclass(frozen=True, slots=True)
class DualViewEmbeddings:
    """Items as embedded; users follow by `fold_in`."""

    item_IVMD: Tensor
    """Rows [D] of the items wanted, L2-normalised (a zero row stays zero)."""
    foldin_IVMD: Tensor
    """What every item adds to the vector of a user with it in their history; not normalised."""
    cold_IVMD: Tensor
    """The items wanted as if nobody had chosen them (cold-start masking), L2-normalised."""


class GraphEncoder:
    """Embeds items over one graph with the current weights of a model.

    Encoders and propagation are linear, so features are propagated before they are encoded: once,
    not once per step (ours). The augmented view's content keeps the edge weights of the last
    `refresh`.
    """

    def __init__(self, magnet: Magnet, graph: Graph) -> None:
        """Propagate content; graph and model are on one device."""
        self.magnet = magnet
        self._graph = graph
        self._propagation = Propagation(graph)
        with torch.no_grad():
            self._content_IF = self._propagation.items(magnet.feature_IF, magnet.config.num_layers)
        self.refresh()

    def of(self, magnet: Magnet) -> "GraphEncoder":
        """An encoder of the same items and graph with the weights of another model."""
        other = copy.copy(self)
        other.magnet = magnet
        other.refresh()
        return other

    @torch.no_grad()
    def refresh(self) -> None:
        """Sum content over its neighbours with the current edge weights."""
        self._cold_content_IF = self._neighbours(self._content_IF)
        self._augmented_content_IF = self._augmented(self._content_IF, self._cold_content_IF)

    def embed(
        self, item_X: Tensor | None = None, cold_X: Tensor | None = None
    ) -> DualViewEmbeddings:
        """Embed items over the whole graph; without content both views are computed as one.

        Args:
            item_X: rows of `item_IVMD`, repeats allowed; None for all items.
            cold_X: rows of `cold_IVMD`, repeats allowed; None for no item.
        """
        magnet = self.magnet
        if cold_X is None:
            cold_X = magnet.known_I1.new_empty(0, dtype=torch.int64)
        behaviour_ID = self._propagation.items(
            magnet.item_behaviour_ID * magnet.known_I1, magnet.config.num_layers
        )
        views = [(behaviour_ID, self._content_IF)]
        cold = [(torch.zeros_like(behaviour_ID), magnet.feature_IF)]
        if self._graph.content_edges:
            neighbour_ID = self._neighbours(behaviour_ID)
            views.append((self._augmented(behaviour_ID, neighbour_ID), self._augmented_content_IF))
            cold.append((neighbour_ID, magnet.feature_IF + self._cold_content_IF))
        item_IVMD = self._encoded(views)
        foldin_IVMD = self._propagation.item_scale_I1[:, :, None, None] * item_IVMD
        cold_IVMD = self._encoded(
            [(x_ID.index_select(0, cold_X), x_IF.index_select(0, cold_X)) for x_ID, x_IF in cold]
        )
        return DualViewEmbeddings(
            unit_rows(_rows(item_IVMD, item_X)), foldin_IVMD, unit_rows(cold_IVMD)
        )

    def _neighbours(self, item_IF: Tensor) -> Tensor:
        return self._propagation.neighbours(item_IF, self.magnet.log_edge_weight_E.exp())

    def _augmented(self, item_IF: Tensor, neighbour_IF: Tensor) -> Tensor:
        return torch.addcmul(item_IF, self._propagation.cold_strength_I1, neighbour_IF)

    def _encoded(self, views: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Rows [X, V, M, D] of behaviour embeddings and features, per view."""
        parts = [
            [behaviour_XD, *self.magnet.encode_content(feature_XF)]
            for behaviour_XD, feature_XF in views
        ]
        row_XVMD: Tensor = torch.stack([*parts[0], *parts[-1]], dim=1).unflatten(
            1, (len(VIEWS), -1)
        )
        return row_XVMD


def _rows(x_IF: Tensor, row_X: Tensor | None) -> Tensor:
    return x_IF if row_X is None else x_IF.index_select(0, row_X)


def with_user_part(user_BVMD: Tensor, part_BD: Tensor) -> Tensor:
    """Folded-in users [B, V, M, D], their free parts [B, D] added to behaviour in both views."""
    behaviour_BV1D, others = user_BVMD.split([1, user_BVMD.shape[2] - 1], dim=2)
    return torch.cat([behaviour_BV1D + part_BD[:, None, None], others], dim=2)


def fold_in(foldin_IVMD: Tensor, history: SparseOperator) -> Tensor:
    """Users [B, V, M, D] of some histories: sum_h w_h f_h / sum_h w_h |f_h| (ours).

    A row's direction is what the history is about in that view and modality. Its length in [0, 1]
    is how coherent the history is there: 1 where all items agree, near 0 where they cancel out.

    Args:
        foldin_IVMD: see `DualViewEmbeddings`.
        history: positive weights [B, I]; an empty history makes a zero user.
    """
    length_IVM1 = foldin_IVMD.detach().norm(dim=-1, keepdim=True)
    summed_BVMD, total_BVM1 = (
        history(x.flatten(1)).unflatten(1, x.shape[1:]) for x in (foldin_IVMD, length_IVM1)
    )
    user_BVMD: Tensor = summed_BVMD / total_BVM1.clamp_min(1e-12)
    return user_BVMD
