"""Nearest items by cosine: exact in small catalogues, in large ones by an index.

Exact search takes time that grows with the square of the items, the index little more than in
proportion to them. Letters: I items, X items with features, C items of a cluster, S sampled items,
B items of a block, K neighbours, F feature width.
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
_BLOCK_VALUES = 2**22
"""Cosines of exact search that are held at once; 16 MB."""
_SAMPLED = 500
_LINKS = 16
_CLUSTERS, _CLUSTER_SAMPLE = 256, 64
"""Clusters of near items, and how many items of each are drawn to find them."""
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
    column_IK, cosine_IK = _unfilled(len(unit_IF), k)
    column_IK[filled_X], cosine_IK[filled_X] = filled_X[column_XK], cosine_XK
    return column_IK, cosine_IK


def _exact(unit_IF: NDArray[np.float32], k: int) -> Neighbours:
    num_items = len(unit_IF)
    rows = max(1, _BLOCK_VALUES // num_items)
    column_IK, cosine_IK = _unfilled(num_items, k)
    for start in range(0, num_items, rows):
        cosine_BI = unit_IF[start : start + rows] @ unit_IF.T
        row_B = np.arange(len(cosine_BI))
        cosine_BI[row_B, start + row_B] = -np.inf
        block_BK = np.argpartition(-cosine_BI, k - 1, axis=1)[:, :k]
        column_IK[start : start + rows] = block_BK
        cosine_IK[start : start + rows] = np.take_along_axis(cosine_BI, block_BK, axis=1)
    return column_IK, cosine_IK


def _unfilled(num_items: int, k: int) -> Neighbours:
    return (
        np.zeros((num_items, k), dtype=np.int64),
        np.full((num_items, k), -np.inf, dtype=np.float32),
    )


def _indexed(unit_IF: NDArray[np.float32], k: int) -> Neighbours:
    """By a graph of near items (HNSW, arXiv:1603.09320), searched as far as a sample needs it.

    Items go in, and are searched for, one cluster after the other: what one item touches is then
    still in the processor's cache for the next one, which takes a third of the time (ours,
    docs/adr/0040).
    """
    import faiss  # noqa: PLC0415  # optional

    num_items, width = unit_IF.shape
    sample_SF = unit_IF[np.random.default_rng(_SEED).permutation(num_items)[:_SAMPLED]]
    exact_SK, _ = faiss.knn(sample_SF, unit_IF, k + 1, metric=faiss.METRIC_INNER_PRODUCT)
    index = faiss.IndexHNSWFlat(width, _LINKS, faiss.METRIC_INNER_PRODUCT)
    with threadpool_limits(limits=1):  # several threads would link items in any order
        clusters = _clusters(unit_IF)
        for row_C in clusters:
            index.add(unit_IF[row_C])
    index.hnsw.efSearch = _FIRST_EFFORT
    while (recall := _recall(index, sample_SF, exact_SK)) < RECALL:
        if index.hnsw.efSearch >= _MOST_EFFORT:
            break
        index.hnsw.efSearch *= 2
    log.info(
        f"neighbours of {num_items:,} items: an index finds {recall:.1%} of the nearest "
        f"(efSearch {index.hnsw.efSearch})"
    )
    column_IK, cosine_IK = _unfilled(num_items, k)
    row_I = np.concatenate(clusters)
    start = 0
    for row_C in clusters:
        found_CK, place_CK = index.search(unit_IF[row_C], k + 1)
        place_CK, cosine_IK[row_C] = _others(place_CK, found_CK, start)
        column_IK[row_C] = row_I[place_CK]
        start += len(row_C)
    return column_IK, cosine_IK


def _clusters(unit_IF: NDArray[np.float32]) -> list[NDArray[np.int64]]:
    """Rows of all items, those of near ones together."""
    import faiss  # noqa: PLC0415  # optional

    kmeans = faiss.Kmeans(
        unit_IF.shape[1],
        min(_CLUSTERS, len(unit_IF)),
        niter=4,
        spherical=True,
        seed=_SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=_CLUSTER_SAMPLE,
    )
    kmeans.train(unit_IF)
    cluster_I = kmeans.assign(unit_IF)[1]
    row_I = np.argsort(cluster_I, kind="stable")
    ends = np.cumsum(np.bincount(cluster_I))
    return [row_C for row_C in np.split(row_I, ends[:-1]) if len(row_C)]


def _recall(index: Any, sample_SF: NDArray[np.float32], exact_SK: NDArray[np.float32]) -> float:
    """The share of what the index finds that is as near as the exact neighbours [S, K] are."""
    found_SK, _ = index.search(sample_SF, exact_SK.shape[1])
    return float((found_SK >= exact_SK[:, -1:] - _ROUNDING).mean())


def _others(column_CK: NDArray[np.int64], cosine_CK: NDArray[np.float32], first: int) -> Neighbours:
    """Without each item itself, or else, where it is not found, without the last one.

    The items are those from column `first` on.
    """
    own_CK = column_CK == np.arange(first, first + len(column_CK))[:, None]
    own_CK[~own_CK.any(axis=1), -1] = True
    shape = (len(column_CK), column_CK.shape[1] - 1)
    return np.maximum(column_CK[~own_CK], 0).reshape(shape), cosine_CK[~own_CK].reshape(shape)
