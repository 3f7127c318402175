"""scipy's sparse matrices as torch's.

Knows matrices; knows nothing about graphs.
"""

import warnings

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor


def torch_csr(matrix: csr_array) -> Tensor:
    """A torch CSR tensor of float32."""
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
