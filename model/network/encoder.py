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
    """What the items wanted add to the vector of a user with them in their history; not
    normalised."""
    cold_IVMD: Tensor
    """The items wanted as if nobody had chosen them (cold-start masking), L2-normalised."""


class GraphEncoder:
    """Embeds items over one graph with the current weights of a model.

    Encoders and propagation are linear, so features are propagated before they are encoded: once,
    not once per step (ours). The augmented view's content keeps the edge weights of the last
    `refresh`.

    After a `refresh` with a sampled layer, behaviour is propagated as it was then, and its changes
    since, with gradients, through that layer (control variates, arXiv:1710.10568). A step then
    costs the same whatever the number of interactions.
    """

    def __init__(self, magnet: Magnet, graph: Graph) -> None:
        """Propagate content; graph and model are on one device."""
        self.magnet = magnet
        self._has_edges = bool(graph.content_edges)
        self._layer: SparseOperator | None = None
        self._rest_ID: Tensor | None = None
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
    def refresh(self, layer: SparseOperator | None = None) -> None:
        """Sum content over its neighbours with the current edge weights.

        Args:
            layer: an estimate of a layer, see `Propagation.items`; None to propagate the whole
                graph in every call of `embed`.
        """
        self._cold_content_IF = self._neighbours(self._content_IF)
        self._layer, self._rest_ID = None, None
        if layer is not None:
            whole_ID = self._behaviour()
            self._layer = layer
            self._rest_ID = whole_ID - self._behaviour()

    def embed(
        self,
        item_X: Tensor | None = None,
        cold_X: Tensor | None = None,
    ) -> DualViewEmbeddings:
        """Embed items over the whole graph; without content both views are computed as one.

        Args:
            item_X: rows of `item_IVMD` and of `foldin_IVMD`, repeats allowed; None for all items.
            cold_X: rows of `cold_IVMD`, repeats allowed; None for no item.
        """
        magnet = self.magnet
        if cold_X is None:
            cold_X = magnet.known_I1.new_empty(0, dtype=torch.int64)
        behaviour_ID = self._behaviour()
        neighbour_ID = self._neighbours(behaviour_ID)
        item_XVMD = self._items(behaviour_ID, neighbour_ID, item_X)
        scale_X1 = _rows(self._propagation.item_scale_I1, item_X)
        return DualViewEmbeddings(
            unit_rows(item_XVMD),
            item_XVMD * scale_X1[:, :, None, None],
            unit_rows(self._cold_items(neighbour_ID, cold_X)),
        )

    def _behaviour(self) -> Tensor:
        """The propagated behaviour of all items [I, D]."""
        magnet = self.magnet
        start_ID = magnet.item_behaviour_ID * magnet.known_I1
        item_ID = self._propagation.items(start_ID, magnet.config.num_layers, self._layer)
        return item_ID if self._rest_ID is None else item_ID + self._rest_ID

    def _items(self, behaviour_ID: Tensor, neighbour_ID: Tensor, row_X: Tensor | None) -> Tensor:
        """Rows [X, V, M, D] of items in both views."""
        behaviour_XD, content_XF = _rows(behaviour_ID, row_X), _rows(self._content_IF, row_X)
        views = [(behaviour_XD, content_XF)]
        if self._has_edges:
            strength_X1, neighbour_XD, neighbour_XF = (
                _rows(x, row_X)
                for x in (self._propagation.cold_strength_I1, neighbour_ID, self._cold_content_IF)
            )
            views.append(
                (
                    torch.addcmul(behaviour_XD, strength_X1, neighbour_XD),
                    torch.addcmul(content_XF, strength_X1, neighbour_XF),
                )
            )
        return self._encoded(views)

    def _cold_items(self, neighbour_ID: Tensor, row_X: Tensor) -> Tensor:
        """Rows [X, V, M, D] of items as if nobody had chosen them."""
        feature_XF, neighbour_XD = (_rows(x, row_X) for x in (self.magnet.feature_IF, neighbour_ID))
        views = [(torch.zeros_like(neighbour_XD), feature_XF)]
        if self._has_edges:
            views.append((neighbour_XD, feature_XF + _rows(self._cold_content_IF, row_X)))
        return self._encoded(views)

    def _neighbours(self, item_IF: Tensor) -> Tensor:
        return self._propagation.neighbours(item_IF, self.magnet.log_edge_weight_E.exp())

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
        history: positive weights [B, I] of its items; an empty history makes a zero user.
    """
    length_IVM1 = foldin_IVMD.detach().norm(dim=-1, keepdim=True)
    summed_BVMD, total_BVM1 = (
        history(x.flatten(1)).unflatten(1, x.shape[1:]) for x in (foldin_IVMD, length_IVM1)
    )
    user_BVMD: Tensor = summed_BVMD / total_BVM1.clamp_min(1e-12)
    return user_BVMD
