"""Dual-view encoder: LightGCN propagation over the interaction view and over the augmented view.

Knows tensors and sparse matrices; nothing about where graphs or features come from.
Letters: U users, I items, B users of a batch, H their history items side by side, V views,
M modalities, E kinds of content edge, D dimension, F width of the rows at hand.
Views of the same graph with and without content-induced edges: arXiv:2602.20723. Propagation:
LightGCN (arXiv:2002.02126, Eq. 3 and 4), users' initial embeddings being zero, so that a user is
what her history makes of her. The factored operator, its learnt edge weights, the fold-in and the
cold twins are ours.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class SparseOperator:
    """A sparse CSR matrix with its transpose at hand, so that no backward need build it."""

    matrix: Tensor
    transpose: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The product with a dense [columns, F]; gradients flow to `x` only."""
        product: Tensor = _SparseProduct.apply(self.matrix, self.transpose, x)  # type: ignore[no-untyped-call]
        return product

    @property
    def T(self) -> "SparseOperator":
        """The transposed operator."""
        return SparseOperator(self.transpose, self.matrix)

    def to(self, device: torch.device) -> "SparseOperator":
        """The same operator on another device."""
        return SparseOperator(self.matrix.to(device), self.transpose.to(device))


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transpose: Tensor, x: Tensor) -> Tensor:
        ctx.transpose = transpose
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.transpose @ grad


@dataclass(frozen=True, slots=True)
class Graph:
    """Interactions and content-induced edges, of which both views are made."""

    interactions: SparseOperator
    """R [U, I], weighted positives."""
    content_edges: tuple[SparseOperator, ...]
    """E matrices [I, I]: row i holds the content neighbours that item i hears, by one modality."""
    help_I1: Tensor
    """How much of what its neighbours say an item takes over [I, 1], in [0, 1]."""

    def to(self, device: torch.device) -> "Graph":
        """The same graph on another device."""
        return Graph(
            self.interactions.to(device),
            tuple(edges.to(device) for edges in self.content_edges),
            self.help_I1.to(device),
        )


class View:
    """The symmetrically normalised product R S of a graph, S = identity + (H sum_e w_e C_e)^T.

    C_e are the content edges, w_e their weights and H the diagonal of the help that items take;
    without weights S is the identity, which makes the interaction view. The product is far denser
    than its factors: applying them one after the other keeps a step's cost linear in interactions
    and edges. Degrees follow the weights, so gradients reach them through the normalisation too.
    """

    def __init__(self, graph: Graph, weight_E: Tensor | None = None) -> None:
        edges = () if weight_E is None else zip(weight_E, graph.content_edges, strict=True)
        self._interactions = graph.interactions
        self._edges = tuple(edges)
        self._help_I1 = graph.help_I1
        ones_I1 = torch.ones_like(graph.help_I1)
        ones_U1 = ones_I1.new_ones(graph.interactions.matrix.shape[0], 1)
        user_degree_U1 = self._interactions(self._smoothed(ones_I1))
        own_I1 = self._interactions.T(ones_U1)
        heard_I1 = self._heard(own_I1)
        self._user_scale_U1 = _inverse_root(user_degree_U1)
        self._item_scale_I1 = _inverse_root(own_I1 + self._help_I1 * heard_I1)
        self._cold_scale_I1 = _inverse_root(heard_I1)

    def foldin(self, item_IF: Tensor) -> Tensor:
        """What each item adds to a user who has it in her history, before her own scale [I, F]."""
        return self._smoothed(self._item_scale_I1 * item_IF)

    def users(self, item_IF: Tensor) -> Tensor:
        """Items to users [U, F]."""
        return self._user_scale_U1 * self._interactions(self.foldin(item_IF))

    def items(self, user_UF: Tensor) -> tuple[Tensor, Tensor]:
        """Users to items [I, F], and to their cold twins [I, F].

        An item's cold twin is what it would be if nobody had chosen it: it hears its content
        neighbours alone, and in full. What it adds itself to their users in the augmented view is
        left there, so one propagation serves all twins.
        """
        own_IF = self._interactions.T(self._user_scale_U1 * user_UF)
        heard_IF = self._heard(own_IF)
        item_IF = self._item_scale_I1 * (own_IF + self._help_I1 * heard_IF)
        return item_IF, self._cold_scale_I1 * heard_IF

    def _smoothed(self, x_IF: Tensor) -> Tensor:
        """S x: every item's row spreads to the items that hear it."""
        helped_IF = self._help_I1 * x_IF
        return sum((weight * edges.T(helped_IF) for weight, edges in self._edges), start=x_IF)

    def _heard(self, x_IF: Tensor) -> Tensor:
        """What every item's content neighbours say."""
        silence_IF = torch.zeros_like(x_IF)
        return sum((weight * edges(x_IF) for weight, edges in self._edges), start=silence_IF)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows of the items that are to be encoded, repeats allowed."""

    item_X: Tensor | None = None
    """For `item_IVMD`; None for all items."""
    cold_X: Tensor | None = None
    """For `cold_IVMD`; None for no item."""


@dataclass(frozen=True, slots=True)
class DualViewEmbeddings:
    """What encoding yields; users follow by `fold_in`."""

    item_IVMD: Tensor
    """Rows [D] of the items wanted, L2-normalised (a zero row stays zero)."""
    foldin_IVMD: Tensor
    """What every item adds to the vector of a user who has it in her history; not normalised."""
    cold_IVMD: Tensor
    """Cold twins of the items wanted, normalised as the items are."""


@dataclass(frozen=True, slots=True)
class Propagated:
    """What some rows of the items become in one view."""

    item_IF: Tensor
    """The sum over an item's layers."""
    foldin_IF: Tensor
    """Its image under `View.foldin`: the sum over a user's layers is, up to length, the sum of
    these rows over her history."""
    cold_IF: Tensor
    """The sum over the layers of an item's cold twin."""


def propagate(view: View, item_IF: Tensor, cold_IF: Tensor, num_layers: int) -> Propagated:
    """Propagate through one view: items to users and back, `num_layers` times.

    Args:
        view: the graph.
        item_IF: what the items start from.
        cold_IF: what each item would start from if nobody had chosen it.
        num_layers: how often.
    """
    item, item_sum, cold_sum = item_IF, item_IF, cold_IF
    for _ in range(num_layers):
        item, cold = view.items(view.users(item))
        item_sum, cold_sum = item_sum + item, cold_sum + cold
    return Propagated(item_sum, view.foldin(item_sum), cold_sum)


def fold_in(foldin_IVMD: Tensor, history: SparseOperator) -> Tensor:
    """Users [B, V, M, D] of some histories: sum_h w_h f_h / sum_h w_h |f_h| (ours).

    A row's direction is what the history is about in that view and modality, its length in [0, 1]
    how coherent the history is in it: 1 where all items agree, near 0 where they cancel out.

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


def normalise_rows(x: Tensor) -> Tensor:
    """L2-normalise the last axis; a zero row stays zero."""
    return functional.normalize(x, dim=-1, eps=1e-12)


def unit_rows(x: Tensor) -> Tensor:
    """`normalise_rows` with its gradient written by hand: training's, where it counts."""
    rows: Tensor = _UnitRows.apply(x)  # type: ignore[no-untyped-call]
    return rows


class _UnitRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scale = x.norm(dim=-1, keepdim=True).clamp_(min=1e-12).reciprocal_()
        rows: Tensor = x * scale
        ctx.save_for_backward(rows, scale)
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        rows, scale = ctx.saved_tensors
        along = (grad * rows).sum(-1, keepdim=True)
        across: Tensor = torch.addcmul(grad, rows, along, value=-1).mul_(scale)
        return across


def _inverse_root(degree: Tensor) -> Tensor:
    """degree^-1/2, and zero where there are no edges."""
    return torch.where(degree > 0, degree.clamp_min(1e-12).rsqrt(), 0.0)
