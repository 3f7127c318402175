"""Dual-view encoder: LightGCN propagation over the interaction view and over the augmented view.

Knows tensors and sparse operators; nothing about where graphs or features come from.
Letters: U users, I items, V views, M modalities, D dimension.
Views of the same graph with and without content-induced edges: arXiv:2602.20723. Propagation:
LightGCN (arXiv:2002.02126, Eq. 3 and 4). The factored operator and the fold-in are ours.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class SparseOperator:
    """A product of sparse CSR matrices with its transpose, applied factor by factor.

    The augmented view's user-item matrix R S is far denser than its factors; applying S and then R
    keeps a step's cost linear in interactions plus item-item edges.
    """

    factors: tuple[Tensor, ...]
    """Applied from last to first, as in the matrix product that they spell."""
    transposed: tuple[Tensor, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """The product with a dense [columns, F]; gradients flow to `x` only."""
        for factor, transpose in zip(
            reversed(self.factors), reversed(self.transposed), strict=True
        ):
            x = _SparseProduct.apply(factor, transpose, x)  # type: ignore[no-untyped-call]
        return x

    @property
    def T(self) -> "SparseOperator":
        """The transposed operator."""
        return SparseOperator(self.transposed[::-1], self.factors[::-1])

    def to(self, device: torch.device) -> "SparseOperator":
        """The same operator on another device."""
        return SparseOperator(
            tuple(f.to(device) for f in self.factors),
            tuple(t.to(device) for t in self.transposed),
        )


class _SparseProduct(torch.autograd.Function):
    """Sparse times dense with the transpose at hand, so that backward need not build it."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transpose: Tensor, x: Tensor) -> Tensor:
        ctx.transpose = transpose
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.transpose @ grad


@dataclass(frozen=True, slots=True)
class DualViewEmbeddings:
    """What encoding yields; rows [M, D] of every view are L2-normalised (a zero row stays zero)."""

    user_UVMD: Tensor
    item_IVMD: Tensor


@dataclass(frozen=True, slots=True)
class View:
    """One graph as normalised operators."""

    user_from_item: SparseOperator
    """[U, I]; its transpose carries users to items."""
    foldin: SparseOperator
    """[I, I]; `user_from_item` without the user's own row: what one history item contributes."""

    def to(self, device: torch.device) -> "View":
        """The same view on another device."""
        return View(self.user_from_item.to(device), self.foldin.to(device))


@dataclass(frozen=True, slots=True)
class EncodedView:
    """Sums over the layers 0..L of one view, all modalities side by side (F = M * D)."""

    user_UF: Tensor
    item_IF: Tensor
    carried_IF: Tensor
    """The items' part of the users: `user_UF` is its image under the view, plus residuals."""


def encode_view(view: View, user_UF: Tensor, item_IF: Tensor, num_layers: int) -> EncodedView:
    """Propagate one view.

    A user starts from the history-induced cue (the degree-weighted mean over her items, taken
    through the view) plus her residual `user_UF`; items start from `item_IF`.
    """
    item_from_user = view.user_from_item.T
    item, cue = item_IF, view.user_from_item(item_IF)
    user = user_UF + cue
    following, user_sum, item_sum, carried_sum = cue, user, item, item
    for layer in range(num_layers):
        if layer > 0:
            following = view.user_from_item(item)
        carried_sum = carried_sum + item
        user, item = following, item_from_user(user)
        user_sum, item_sum = user_sum + user, item_sum + item
    return EncodedView(user_sum, item_sum, carried_sum)


def normalise_rows(x: Tensor) -> Tensor:
    """L2-normalise the last axis; a zero row stays zero."""
    return functional.normalize(x, dim=-1, eps=1e-12)
