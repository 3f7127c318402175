"""scipy's sparse matrices as torch's operators.

Knows matrices; knows nothing about graphs.
"""

import warnings

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from model.dual_view import SparseOperator


def sparse_operator(matrix: csr_array) -> SparseOperator:
    """A matrix that dense rows can be multiplied with, gradients flowing through."""
    return SparseOperator(_torch_csr(matrix), _torch_csr(csr_array(matrix.T)))


def _torch_csr(matrix: csr_array) -> Tensor:
    matrix.sort_indices()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            size=matrix.shape,
            check_invariants=True,
        )
