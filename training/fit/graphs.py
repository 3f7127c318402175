"""Sparse operators of the dual view's graph, and where behaviour embeddings start.

Cost and memory grow linearly with interactions (plus I * neighbours item-item edges). Letters:
U users, I items, K neighbours, F feature width, D dimension.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from model.network.graph import Graph, SparseOperator
from training.data.features import ModalityFeatures
from training.fit.neighbours import nearest

NEIGHBOURS = 10
"""Content neighbours of an item per modality (as FREEDOM and MGCN use)."""
WALKS = 16
"""From every item for a sampled layer."""
_LENGTH_PER_ROOT_DIM = 0.1
"""All starting rows have the length of LightGCN's random start. Otherwise an item that few have
chosen, which hardly contributes to the leading directions, would start near zero."""


def sparse_operator(matrix: csr_array) -> SparseOperator:
    """A matrix that dense rows can be multiplied with, gradients flowing through."""
    return SparseOperator(_torch_csr(matrix), _torch_csr(csr_array(matrix.T)))


def _torch_csr(matrix: csr_array) -> Tensor:
    matrix.sort_indices()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32, copy=False)),
            torch.from_numpy(matrix.indices.astype(np.int32, copy=False)),
            torch.from_numpy(matrix.data.astype(np.float32, copy=False)),
            size=matrix.shape,
            check_invariants=True,
        )


def spectral_start(train: csr_array, dim: int) -> NDArray[np.float32]:
    """Embeddings [I, at most D] of items by positives [U, I]: V S^1/2 of the normalised matrix.

    U S V^T is the truncated decomposition of the symmetrically normalised matrix, whose leading
    directions are what propagation keeps (GF-CF, arXiv:2108.07567, section 3). On some data models
    trained from there are better than from noise, on others as good (ours, docs/research-log.md).
    """
    user_scale_U, item_scale_I = (
        1 / np.sqrt(np.maximum(np.asarray(train.sum(axis=axis)).ravel(), 1)) for axis in (1, 0)
    )
    normalised_UI = csr_array(diags_array(user_scale_U) @ train @ diags_array(item_scale_I))
    width = min(dim, *train.shape)
    _, value_D, right_DI = randomized_svd(normalised_UI, width, random_state=0)
    start_ID = right_DI.T * np.sqrt(value_D)
    length_I1 = np.linalg.norm(start_ID, axis=1, keepdims=True)
    scaled_ID: NDArray[np.float32] = (
        _LENGTH_PER_ROOT_DIM * dim**0.5 * start_ID / np.maximum(length_I1, 1e-12)
    )
    return scaled_ID.astype(np.float32)


def content_neighbours(features: ModalityFeatures, k: int = NEIGHBOURS) -> csr_array:
    """Row-stochastic item-item kNN [I, I] by cosine of centred features; similarities are weights.

    Nearly all are found in catalogues of more than `neighbours.EXACT_ITEMS`, all in smaller ones.
    Features are centred because a large common mean hides the differences between items. Items
    without features and pairs of negative similarity have no edges.
    """
    x_IF = np.where(features.present_I[:, None], features.x_IF, 0).astype(np.float32)
    x_IF[features.present_I] -= x_IF[features.present_I].mean(axis=0)
    x_IF /= np.maximum(np.linalg.norm(x_IF, axis=1, keepdims=True), 1e-12)
    num_items = len(x_IF)
    k = min(k, num_items - 1)
    column_IK, weight_IK = nearest(x_IF, k)
    weight_IK = np.maximum(weight_IK, 0)
    weight_IK /= np.maximum(weight_IK.sum(axis=1, keepdims=True), 1e-12)
    indptr = k * np.arange(num_items + 1)
    edges = csr_array((weight_IK.ravel(), column_IK.ravel(), indptr), shape=(num_items, num_items))
    edges.eliminate_zeros()
    return edges


def cold_strength(train: csr_array) -> NDArray[np.float32]:
    """Weight of every item's content neighbours beside its own users [I] (ours).

    mean degree / (mean degree + degree_i): the larger the fewer users the item has, 1 without any.
    """
    degree_I = np.asarray(train.sum(axis=0)).ravel()
    mean_degree = float(degree_I.mean())
    strength_I: NDArray[np.float32] = mean_degree / np.maximum(mean_degree + degree_I, 1e-12)
    return strength_I.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Walks:
    """Random walks from items over their users to items."""

    _to_users: "_Steps"
    _to_items: "_Steps"

    @classmethod
    def over(cls, train: csr_array) -> Self:
        """Over weighted positives [U, I]."""
        return cls(_Steps.over(csr_array(train.T)), _Steps.over(train))

    def layer(self, rng: np.random.Generator, walks: int = WALKS) -> csr_array:
        """An unbiased estimate of one layer of LightGCN from items over users to items [I, I].

        The layer is D_I^-1/2 R^T D_U^-1 R D_I^-1/2. Its entry (i, j) is sqrt(degree_i / degree_j)
        times the chance that a walk goes from i to j, which `walks` walks from every item estimate
        (after PinSage, arXiv:1806.01973, section 3.1, which keeps where most of them end).
        """
        degree_I = self._to_users.degree_X
        row_W = np.repeat(np.flatnonzero(degree_I), walks)
        column_W = self._to_items.step(self._to_users.step(row_W, rng), rng)
        weight_W = np.sqrt(degree_I[row_W] / degree_I[column_W]) / walks
        entries = (weight_W.astype(np.float32), (row_W, column_W))
        return csr_array(entries, shape=(len(degree_I), len(degree_I)))


@dataclass(frozen=True, slots=True)
class _Steps:
    """Steps from rows of a matrix [X, Y] to columns, in proportion to its entries."""

    matrix: csr_array
    bound_N1: NDArray[np.float64]
    """The sum of all entries before each one."""

    @classmethod
    def over(cls, matrix: csr_array) -> Self:
        return cls(matrix, np.append(0, np.cumsum(matrix.data, dtype=np.float64)))

    @property
    def degree_X(self) -> NDArray[np.float64]:
        """The sum of every row."""
        degree_X: NDArray[np.float64] = np.diff(self.bound_N1[self.matrix.indptr])
        return degree_X

    def step(self, row_W: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.integer]:
        """Where a step from each of some rows with entries ends."""
        first_W, end_W = self.matrix.indptr[row_W], self.matrix.indptr[row_W + 1]
        low_W, high_W = self.bound_N1[first_W], self.bound_N1[end_W]
        wanted_W = low_W + rng.random(len(row_W)) * (high_W - low_W)
        place_W = np.searchsorted(self.bound_N1, wanted_W, side="right") - 1
        column_W: NDArray[np.integer] = self.matrix.indices[np.clip(place_W, first_W, end_W - 1)]
        return column_W


def build_graph(train: csr_array, features: Iterable[ModalityFeatures]) -> Graph:
    """The graph of weighted training positives [U, I] and each modality's content edges."""
    return Graph(
        sparse_operator(train),
        tuple(sparse_operator(content_neighbours(x)) for x in features),
        torch.from_numpy(cold_strength(train)).unsqueeze(1),
    )
