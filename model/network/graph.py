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
from torch.nn.functional import embedding_bag


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

    def scaled(self, row_X1: Tensor, column_Y1: Tensor) -> "SparseOperator":
        """The same with every entry times the numbers of its row and of its column."""
        return SparseOperator(
            _scaled(self.matrix, row_X1, column_Y1), _scaled(self.transpose, column_Y1, row_X1)
        )

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
        return _product(matrix, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _product(ctx.transpose, grad)


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    """A sparse CSR matrix times a dense one.

    On a CPU rows are summed as bags of embeddings, which takes a quarter of the time. Rows of no
    width (items without content) are none of its work: some processors' kernels fail on them.
    """
    if matrix.device.type != "cpu":
        return matrix @ x
    if not x.shape[1]:
        return x.new_zeros(matrix.shape[0], 0)
    return embedding_bag(
        matrix.col_indices(),
        x.contiguous(),
        matrix.crow_indices(),
        mode="sum",
        per_sample_weights=matrix.values(),
        include_last_offset=True,
    )


def _scaled(matrix: Tensor, row_X1: Tensor, column_Y1: Tensor) -> Tensor:
    row_X, column_Y = row_X1.squeeze(1), column_Y1.squeeze(1)
    row_N = row_X.repeat_interleave(matrix.crow_indices().diff())
    column_N = column_Y.index_select(0, matrix.col_indices())
    return torch.sparse_csr_tensor(
        matrix.crow_indices(),
        matrix.col_indices(),
        matrix.values() * row_N * column_N,
        size=matrix.shape,
        check_invariants=False,
    )


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


class Propagation:
    """LightGCN over the interactions, and the means over content neighbours of the other view.

    One propagation serves both views: the augmented view is the interaction view and, for every
    item, what its content neighbours became there (ours, docs/adr/0026).
    """

    def __init__(self, graph: Graph) -> None:
        self._content_edges = graph.content_edges
        self.cold_strength_I1 = graph.cold_strength_I1
        users, items = graph.interactions.matrix.shape
        one_I1 = graph.cold_strength_I1.new_ones(items, 1)
        one_U1 = one_I1.new_ones(users, 1)
        user_scale_U1 = _inverse_root(graph.interactions(one_I1))
        self.item_scale_I1 = _inverse_root(graph.interactions.T(one_U1))
        """What an item's row is multiplied with in the sum over a history."""
        self._users = graph.interactions.scaled(user_scale_U1, self.item_scale_I1)

    def items(
        self, item_IF: Tensor, num_layers: int, layer: SparseOperator | None = None
    ) -> Tensor:
        """The sum over the layers of every item, users starting from zero [I, F].

        `layer` is an estimate [I, I] of a layer from items over users to items; None for the layer.
        """
        total_IF = item_IF
        for _ in range(num_layers):
            item_IF = self._layer(item_IF) if layer is None else layer(item_IF)
            total_IF = total_IF + item_IF
        return total_IF

    def _layer(self, item_IF: Tensor) -> Tensor:
        return self._users.T(self._users(item_IF))

    def neighbours(self, item_IF: Tensor, weight_E: Tensor) -> Tensor:
        """The weighted mean over every item's content neighbours [I, F]."""
        total_IF = torch.zeros_like(item_IF)
        for weight, edges in zip(weight_E, self._content_edges, strict=True):
            total_IF = total_IF + weight * edges(item_IF)
        return total_IF


def _inverse_root(degree: Tensor) -> Tensor:
    """degree^-1/2, and zero where there are no edges."""
    return torch.where(degree > 0, degree.clamp_min(1e-12).rsqrt(), 0.0)
