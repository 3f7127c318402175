"""LightGCN's propagation between users and items, for the baselines that build on it.

Knows graphs and embeddings; knows nothing about losses. Letters: U users, I items, D dimension.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from torch import Tensor

from model.dual_view import SparseOperator
from training.sparse import sparse_operator


def symmetrically_normalised(edges: csr_array) -> csr_array:
    """Every entry over the square roots of its row's and its column's sums."""
    row, column = (_inverse_root(np.asarray(edges.sum(axis=axis)).ravel()) for axis in (1, 0))
    return csr_array(diags_array(row) @ edges @ diags_array(column))


@dataclass(frozen=True, slots=True)
class UserItemGraph:
    """The normalised user-item graph [U, I], applied in both directions."""

    user_from_item: SparseOperator

    @classmethod
    def of(cls, train: csr_array) -> "UserItemGraph":
        """The graph of some positives [U, I]."""
        return cls(sparse_operator(symmetrically_normalised(train)))

    def propagate(self, user_UD: Tensor, item_ID: Tensor, num_layers: int) -> tuple[Tensor, Tensor]:
        """The mean over layers 0 to num_layers. Ref: arXiv:2002.02126, Eq. 3 and 4."""
        user_sum, item_sum = user_UD, item_ID
        for _ in range(num_layers):
            user_UD, item_ID = self.user_from_item(item_ID), self.user_from_item.T(user_UD)
            user_sum, item_sum = user_sum + user_UD, item_sum + item_ID
        return user_sum / (num_layers + 1), item_sum / (num_layers + 1)


def _inverse_root(degree: NDArray[np.number]) -> NDArray[np.float32]:
    """degree^-1/2, and zero where there are no edges."""
    return np.where(degree > 0, np.maximum(degree, 1e-12) ** -0.5, 0).astype(np.float32)
