"""Where behaviour embeddings start: the leading directions of the interaction matrix.

Knows matrices; knows nothing about models. Letters: U users, I items, D dimension.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from sklearn.utils.extmath import randomized_svd

_LENGTH_PER_ROOT_DIM = 0.1
"""Rows are as long as those of LightGCN's random start, all alike: an item that few have chosen has
hardly a part in the leading directions, and would start as nobody."""


def spectral_start(train: csr_array, dim: int) -> NDArray[np.float32]:
    """Embeddings [I, at most D] of items by positives [U, I]: V S^1/2 of the normalised matrix.

    U S V^T is the truncated decomposition of the symmetrically normalised matrix, whose leading
    directions are what propagation keeps (GF-CF, arXiv:2108.07567, section 3). Models
    trained from there are better than from noise on some data and as good on others (ours,
    docs/research-log.md).
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
