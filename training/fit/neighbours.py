"""Nearest items by cosine: exact in small catalogues, in large ones by an index.

Exact search takes time that grows with the square of the items. Letters: I items, X items with
features, S sampled items, K neighbours, F feature width.
"""

import importlib.util
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

log = logging.getLogger(__name__)

EXACT_ITEMS = 20_000
"""In larger catalogues an index is searched, if FAISS is installed."""
RECALL = 0.99
"""Of the nearest items, what the index must find for a sample of the items."""
_BLOCK = 1024
_SAMPLED = 500
_LINKS = 16
_FIRST_EFFORT, _MOST_EFFORT = 32, 256
_ROUNDING = 1e-6
_SEED = 0

Neighbours = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Columns [I, K] in no order, and their cosines; minus infinity where there are fewer."""


def nearest(unit_IF: NDArray[np.float32], k: int) -> Neighbours:
    """The k nearest other items of every item.

    Args:
        unit_IF: rows of length 1, or zero for items that are near nothing.
        k: less than the number of items.
    """
    if len(unit_IF) <= EXACT_ITEMS:
        return _exact(unit_IF, k)
    if importlib.util.find_spec("faiss") is None:
        log.warning(
            f"the neighbours of {len(unit_IF):,} items are searched exactly, which takes a while; "
            "pip install 'magnet-recommender[large]' to find them by an index"
        )
        return _exact(unit_IF, k)
    filled_X = np.flatnonzero(unit_IF.any(axis=1))
    column_XK, cosine_XK = _indexed(unit_IF[filled_X], k)
    column_IK = np.zeros((len(unit_IF), k), dtype=np.int64)
    cosine_IK = np.full((len(unit_IF), k), -np.inf, dtype=np.float32)
    column_IK[filled_X], cosine_IK[filled_X] = filled_X[column_XK], cosine_XK
    return column_IK, cosine_IK


def _exact(unit_IF: NDArray[np.float32], k: int) -> Neighbours:
    num_items = len(unit_IF)
    column_IK = np.empty((num_items, k), dtype=np.int64)
    cosine_IK = np.empty((num_items, k), dtype=np.float32)
    for start in range(0, num_items, _BLOCK):
        cosine_BI = unit_IF[start : start + _BLOCK] @ unit_IF.T
        row_B = np.arange(len(cosine_BI))
        cosine_BI[row_B, start + row_B] = -np.inf
        block_BK = np.argpartition(-cosine_BI, k - 1, axis=1)[:, :k]
        column_IK[start : start + _BLOCK] = block_BK
        cosine_IK[start : start + _BLOCK] = np.take_along_axis(cosine_BI, block_BK, axis=1)
    return column_IK, cosine_IK


def _indexed(unit_IF: NDArray[np.float32], k: int) -> Neighbours:
    """By a graph of near items (HNSW, arXiv:1603.09320), searched as far as a sample needs it."""
    import faiss  # noqa: PLC0415  # optional

    num_items, width = unit_IF.shape
    drawn_S = np.random.default_rng(_SEED).permutation(num_items)[:_SAMPLED]
    sample_SF = unit_IF[drawn_S]
    exact_SK, _ = faiss.knn(sample_SF, unit_IF, k + 1, metric=faiss.METRIC_INNER_PRODUCT)
    index = faiss.IndexHNSWFlat(width, _LINKS, faiss.METRIC_INNER_PRODUCT)
    with threadpool_limits(limits=1):  # several threads would link items in any order
        index.add(unit_IF)
    index.hnsw.efSearch = _FIRST_EFFORT
    while (recall := _recall(index, sample_SF, exact_SK)) < RECALL:
        if index.hnsw.efSearch >= _MOST_EFFORT:
            break
        index.hnsw.efSearch *= 2
    log.info(
        f"neighbours of {num_items:,} items: an index finds {recall:.1%} of the nearest "
        f"(efSearch {index.hnsw.efSearch})"
    )
    cosine_IK, column_IK = index.search(unit_IF, k + 1)
    return _others(column_IK, cosine_IK)


def _recall(index: Any, sample_SF: NDArray[np.float32], exact_SK: NDArray[np.float32]) -> float:
    """The share of what the index finds that is as near as the exact neighbours [S, K] are."""
    found_SK, _ = index.search(sample_SF, exact_SK.shape[1])
    return float((found_SK >= exact_SK[:, -1:] - _ROUNDING).mean())


def _others(column_IK: NDArray[np.int64], cosine_IK: NDArray[np.float32]) -> Neighbours:
    """Without each item itself, or else, where it is not found, without the last one."""
    own_IK = column_IK == np.arange(len(column_IK))[:, None]
    own_IK[~own_IK.any(axis=1), -1] = True
    shape = (len(column_IK), column_IK.shape[1] - 1)
    return np.maximum(column_IK[~own_IK], 0).reshape(shape), cosine_IK[~own_IK].reshape(shape)
