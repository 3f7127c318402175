"""Dual-view encoder: LightGCN propagation over the interaction view and over the augmented view.

Knows tensors and sparse operators; nothing about where graphs or features come from.
Letters: U users, I items, B users of a batch, H their history items side by side, V views,
M modalities, D dimension, F = M * D.
Views of the same graph with and without content-induced edges: arXiv:2602.20723. Propagation:
LightGCN (arXiv:2002.02126, Eq. 3 and 4), users' initial embeddings being zero, so that a user is
what her history makes of her. The factored operator and the fold-in are ours.
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
class DualViewEmbeddings:
    """What encoding yields for every item; users follow by `fold_in`."""

    item_IVMD: Tensor
    """Rows [D] are L2-normalised (a zero row stays zero)."""
    foldin_IVMD: Tensor
    """What an item adds to the vector of a user who has it in her history; not normalised."""


def encode_view(view: View, item_IF: Tensor, num_layers: int) -> tuple[Tensor, Tensor]:
    """Propagate one view: items to users and back, `num_layers` times.

    Returns:
        The items' sum over their layers [I, F], and its image under `view.foldin` [I, F]: the sum
        over a user's layers is, up to length, the sum of these rows over her history.
    """
    item_from_user = view.user_from_item.T
    item, item_sum = item_IF, item_IF
    for _ in range(num_layers):
        item = item_from_user(view.user_from_item(item))
        item_sum = item_sum + item
    return item_sum, view.foldin(item_sum)


def fold_in(foldin_IVMD: Tensor, history_H: Tensor, start_B: Tensor, weight_H: Tensor) -> Tensor:
    """Users [B, V, M, D] of some histories: weighted sums of fold-in rows, L2-normalised.

    Args:
        foldin_IVMD: see `DualViewEmbeddings`.
        history_H: item rows, one history after the other.
        start_B: where each history begins; an empty one makes a zero user.
        weight_H: of each history item.
    """
    summed_BF = functional.embedding_bag(
        history_H, foldin_IVMD.flatten(1), start_B, mode="sum", per_sample_weights=weight_H
    )
    return normalise_rows(summed_BF.unflatten(1, foldin_IVMD.shape[1:]))


def normalise_rows(x: Tensor) -> Tensor:
    """L2-normalise the last axis; a zero row stays zero."""
    return functional.normalize(x, dim=-1, eps=1e-12)
