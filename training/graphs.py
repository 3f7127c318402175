"""The dual view's graphs as normalised sparse operators: interactions, and content-induced edges.

Knows matrices and features; knows nothing about models. Cost and memory grow linearly with
interactions (plus I * neighbours item-item edges). Letters: U users, I items, F feature width.
"""

import warnings
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, eye_array
from torch import Tensor

from model.dual_view import SparseOperator, View
from training.modalities import ModalityFeatures

NEIGHBOURS = 10
"""Content neighbours of an item per modality (as FREEDOM and MGCN use)."""
_BLOCK = 1024


def content_neighbours(features: ModalityFeatures, k: int = NEIGHBOURS) -> csr_array:
    """Row-stochastic item-item kNN [I, I] by cosine of centred features; similarities are weights.

    Features are centred because a large common mean hides what tells items apart. Items without
    features have no edges, nor do pairs of negative similarity.
    """
    x_IF = np.where(features.present_I[:, None], features.x_IF, 0).astype(np.float32)
    x_IF[features.present_I] -= x_IF[features.present_I].mean(axis=0)
    x_IF /= np.maximum(np.linalg.norm(x_IF, axis=1, keepdims=True), 1e-12)
    num_items = len(x_IF)
    k = min(k, num_items - 1)
    if k < 1:
        return _no_edges(num_items)
    column_IK = np.empty((num_items, k), dtype=np.int64)
    weight_IK = np.empty((num_items, k), dtype=np.float32)
    for start in range(0, num_items, _BLOCK):
        similarity_BI = x_IF[start : start + _BLOCK] @ x_IF.T
        row_B = np.arange(len(similarity_BI))
        similarity_BI[row_B, start + row_B] = -np.inf
        block_BK = np.argpartition(-similarity_BI, k - 1, axis=1)[:, :k]
        column_IK[start : start + _BLOCK] = block_BK
        weight_IK[start : start + _BLOCK] = np.take_along_axis(similarity_BI, block_BK, axis=1)
    weight_IK = np.maximum(weight_IK, 0)
    indptr = np.arange(0, num_items * k + 1, k)
    edges = csr_array((weight_IK.ravel(), column_IK.ravel(), indptr), shape=(num_items, num_items))
    edges.eliminate_zeros()
    return _row_stochastic(edges)


def augmentation(train: csr_array, neighbours: Iterable[csr_array]) -> csr_array:
    """The operator S [I, I] with which the augmented user-item matrix is R S (ours).

    S = identity + (diag(help) W)^T, where W averages the modalities' neighbours and
    help_i = mean degree / (mean degree + degree_i): through R S every item also hears its content
    neighbours' users, the more the fewer it has of its own, and every user also hears the
    neighbours of her items: the pseudo-edges that content implies.
    """
    num_items = train.shape[1]
    degree_I = np.asarray(train.sum(axis=0)).ravel()
    mean_degree = float(degree_I.mean())
    help_I = mean_degree / np.maximum(mean_degree + degree_I, 1e-12)
    total = _no_edges(num_items)
    for edges in neighbours:
        total = total + edges
    gathered = diags_array(help_I) @ _row_stochastic(total)
    return csr_array(eye_array(num_items, dtype=np.float32) + gathered.T).astype(np.float32)


def build_views(train: csr_array, features: Iterable[ModalityFeatures]) -> tuple[View, View]:
    """The interaction view and the augmented view of weighted training positives [U, I]."""
    num_items = train.shape[1]
    plain = csr_array(eye_array(num_items, dtype=np.float32))
    augmented = augmentation(train, [content_neighbours(x) for x in features])
    return _view(train, plain), _view(train, augmented)


def _view(train: csr_array, smoothing: csr_array) -> View:
    """Symmetric normalisation of R S by the degrees of the product, kept as two factors."""
    user_degree_U = train @ np.asarray(smoothing.sum(axis=1)).ravel()
    item_degree_I = smoothing.T @ np.asarray(train.sum(axis=0)).ravel()
    user = csr_array(diags_array(_inverse_root(user_degree_U)) @ train)
    item = csr_array(smoothing @ diags_array(_inverse_root(item_degree_I)))
    user_pair, item_pair = _torch_pair(user), _torch_pair(item)
    return View(
        user_from_item=SparseOperator((user_pair[0], item_pair[0]), (user_pair[1], item_pair[1])),
        foldin=SparseOperator((item_pair[0],), (item_pair[1],)),
    )


def _inverse_root(degree: NDArray[np.floating]) -> NDArray[np.float32]:
    """degree^-1/2, and zero where there are no edges."""
    root = np.sqrt(np.maximum(degree, 1e-12))
    return np.where(degree > 0, 1 / root, 0).astype(np.float32)


def _no_edges(num_items: int) -> csr_array:
    return csr_array(diags_array(np.zeros(num_items, dtype=np.float32)))


def _row_stochastic(edges: csr_array) -> csr_array:
    total_I = np.asarray(edges.sum(axis=1)).ravel()
    scale_I = np.where(total_I > 0, 1 / np.maximum(total_I, 1e-12), 0)
    return csr_array(diags_array(scale_I.astype(np.float32)) @ edges)


def _torch_pair(matrix: csr_array) -> tuple[Tensor, Tensor]:
    """A scipy matrix as a torch CSR tensor, with its transpose."""
    return _torch_csr(matrix), _torch_csr(csr_array(matrix.T))


def _torch_csr(matrix: csr_array) -> Tensor:
    matrix.sort_indices()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            size=matrix.shape,
            check_invariants=True,
        )
