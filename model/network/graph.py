"""The graph's two views, and LightGCN propagation through them.

The interaction view has interactions alone, the augmented view content edges too
(arXiv:2602.20723). Propagation: LightGCN (arXiv:2002.02126, Eq. 3 and 4), users starting from zero,
so that a user is what their history makes of them. The factored operator, its learnt edge weights
and cold-start masking are ours.

Letters: U users, I items, E kinds of content edge, F width of the rows at hand.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SparseOperator:
    """A sparse CSR matrix and its transpose, which the backward pass multiplies with.

    Torch transposes the matrix in every backward pass instead, which takes 2.3 times as long
    (docs/adr/0020).
    """

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
    """Interactions and content edges, which make both views."""

    interactions: SparseOperator
    """R [U, I], weighted positives."""
    content_edges: tuple[SparseOperator, ...]
    """E matrices [I, I]: row i has the content neighbours of item i in one modality."""
    cold_strength_I1: Tensor
    """Weight of an item's content neighbours beside its own users [I, 1]; 1 without users."""

    def to(self, device: torch.device) -> "Graph":
        """The same graph on another device."""
        return Graph(
            self.interactions.to(device),
            tuple(edges.to(device) for edges in self.content_edges),
            self.cold_strength_I1.to(device),
        )


class View:
    """The symmetrically normalised product R S of a graph, S = identity + (H sum_e w_e C_e)^T.

    C_e are the content edges, w_e their weights and H the diagonal of the items' cold strengths.
    Without weights S is the identity, which makes the interaction view. The product is far denser
    than its factors: applying them one after the other keeps a step's cost linear in interactions
    and edges. Degrees follow the weights, so gradients reach them through the normalisation too.
    """

    def __init__(self, graph: Graph, weight_E: Tensor | None = None) -> None:
        self._interactions = graph.interactions
        weighted = () if weight_E is None else zip(weight_E, graph.content_edges, strict=True)
        self._weighted_edges = tuple(weighted)
        self._cold_strength_I1 = graph.cold_strength_I1
        ones_I1 = torch.ones_like(graph.cold_strength_I1)
        ones_U1 = ones_I1.new_ones(graph.interactions.matrix.shape[0], 1)
        user_degree_U1 = self._interactions(self._smoothed(ones_I1))
        own_degree_I1 = self._interactions.T(ones_U1)
        neighbour_degree_I1 = self._neighbour_sum(own_degree_I1)
        self._user_scale_U1 = _inverse_root(user_degree_U1)
        self._item_scale_I1 = _inverse_root(
            own_degree_I1 + self._cold_strength_I1 * neighbour_degree_I1
        )
        self._cold_scale_I1 = _inverse_root(neighbour_degree_I1)

    def foldin(self, item_IF: Tensor) -> Tensor:
        """What each item adds to the users who chose it, before the user's scale [I, F]."""
        return self._smoothed(self._item_scale_I1 * item_IF)

    def users(self, item_IF: Tensor) -> Tensor:
        """Items to users [U, F]."""
        return self._user_scale_U1 * self._interactions(self.foldin(item_IF))

    def items(self, user_UF: Tensor) -> tuple[Tensor, Tensor]:
        """Users to items [I, F], and to the items as if nobody had chosen them [I, F].

        The second is the sum of an item's content neighbours alone. What the item itself adds to
        their users in the augmented view stays in it, so one propagation serves both.
        """
        own_IF = self._interactions.T(self._user_scale_U1 * user_UF)
        neighbours_IF = self._neighbour_sum(own_IF)
        item_IF = self._item_scale_I1 * (own_IF + self._cold_strength_I1 * neighbours_IF)
        return item_IF, self._cold_scale_I1 * neighbours_IF

    def _smoothed(self, x_IF: Tensor) -> Tensor:
        """S x: every item's row is also added to the items that have it as a neighbour."""
        weak_IF = self._cold_strength_I1 * x_IF
        return sum(
            (weight * edges.T(weak_IF) for weight, edges in self._weighted_edges), start=x_IF
        )

    def _neighbour_sum(self, x_IF: Tensor) -> Tensor:
        """The weighted sum over every item's content neighbours."""
        zero_IF = torch.zeros_like(x_IF)
        return sum((w * edges(x_IF) for w, edges in self._weighted_edges), start=zero_IF)


@dataclass(frozen=True, slots=True)
class Propagated:
    """What rows of the items become in one view."""

    item_IF: Tensor
    """The sum over an item's layers."""
    foldin_IF: Tensor
    """Its image under `View.foldin`: the sum over a user's layers is, up to length, the sum of
    these rows over their history."""
    cold_IF: Tensor
    """The sum over the layers of an item as if nobody had chosen it."""


def propagate(view: View, item_IF: Tensor, cold_IF: Tensor, num_layers: int) -> Propagated:
    """Propagate from items to users and back, `num_layers` times.

    Items start from `item_IF`, and as if nobody had chosen them from `cold_IF`.
    """
    item, item_sum, cold_sum = item_IF, item_IF, cold_IF
    for _ in range(num_layers):
        item, cold = view.items(view.users(item))
        item_sum, cold_sum = item_sum + item, cold_sum + cold
    return Propagated(item_sum, view.foldin(item_sum), cold_sum)


def _inverse_root(degree: Tensor) -> Tensor:
    """degree^-1/2, and zero where there are no edges."""
    return torch.where(degree > 0, degree.clamp_min(1e-12).rsqrt(), 0.0)
