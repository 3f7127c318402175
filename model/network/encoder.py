"""Embeddings of items in both views, and of users by folding their histories in (ours).

Letters: I items, X items that are wanted, B users of a batch, V views, M modalities, D dimension,
F width of all features side by side.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from model.network.config import VIEWS
from model.network.fused_scores import unit_rows
from model.network.graph import Graph, Propagated, SparseOperator, View, propagate
from model.network.magnet import Magnet


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

    Encoders and propagation are linear, so features are propagated before they are encoded: once
    per view, not once per step (ours). The interaction view has no weights, so it and its content
    are made once. The augmented view's content keeps the edge weights of the last `refresh`.
    """

    def __init__(self, magnet: Magnet, graph: Graph) -> None:
        """Propagate content through both views; graph and model are on one device."""
        self.magnet = magnet
        self._graph = graph
        self._interaction = View(graph)
        self._interaction_content = self._propagated_content(self._interaction)
        self.refresh()

    def of(self, magnet: Magnet) -> "GraphEncoder":
        """An encoder of the same items and graph with the weights of another model."""
        other = copy.copy(self)
        other.magnet = magnet
        other.refresh()
        return other

    def refresh(self) -> None:
        """Propagate content through the augmented view with its current edge weights."""
        if self._graph.content_edges:
            self._augmented_content = self._propagated_content(self._augmented())

    def embed(
        self, item_X: Tensor | None = None, cold_X: Tensor | None = None
    ) -> DualViewEmbeddings:
        """Embed items over the whole graph; without content both views are computed as one.

        Args:
            item_X: rows of `item_IVMD`, repeats allowed; None for all items.
            cold_X: rows of `cold_IVMD`, repeats allowed; None for no item.
        """
        if cold_X is None:
            cold_X = self.magnet.known_I1.new_empty(0, dtype=torch.int64)
        views = [self._embed_in(self._interaction, self._interaction_content, item_X, cold_X)]
        if self._graph.content_edges:
            views.append(self._embed_in(self._augmented(), self._augmented_content, item_X, cold_X))
        item_IVMD, foldin_IVMD, cold_IVMD = (
            torch.stack([*parts[0], *parts[-1]], dim=1).unflatten(1, (len(VIEWS), -1))
            for parts in zip(*views, strict=True)
        )
        return DualViewEmbeddings(unit_rows(item_IVMD), foldin_IVMD, unit_rows(cold_IVMD))

    def _augmented(self) -> View:
        return View(self._graph, self.magnet.log_edge_weight_E.exp())

    @torch.no_grad()
    def _propagated_content(self, view: View) -> Propagated:
        feature_IF = self.magnet.feature_IF
        return propagate(view, feature_IF, feature_IF, self.magnet.config.num_layers)

    def _embed_in(
        self, view: View, content: Propagated, item_X: Tensor | None, cold_X: Tensor
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Items, fold-in rows and masked items in one view: M times [rows, D] each."""
        item_ID = self.magnet.item_behaviour_ID * self.magnet.known_I1
        num_layers = self.magnet.config.num_layers
        behaviour = propagate(view, item_ID, torch.zeros_like(item_ID), num_layers)
        item, foldin, cold = (
            [_rows(behaviour_ID, row_X), *self.magnet.encode_content(_rows(content_IF, row_X))]
            for behaviour_ID, content_IF, row_X in (
                (behaviour.item_IF, content.item_IF, item_X),
                (behaviour.foldin_IF, content.foldin_IF, None),
                (behaviour.cold_IF, content.cold_IF, cold_X),
            )
        )
        return item, foldin, cold


def _rows(x_IF: Tensor, row_X: Tensor | None) -> Tensor:
    return x_IF if row_X is None else x_IF.index_select(0, row_X)


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
