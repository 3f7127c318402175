"""The item-item model: how much each item of a history counts towards another item.

Embeddings keep what many items have in common and lose what only two of them share. The item-item
model keeps that, for items that were chosen together. Both in one score: Koren, KDD 2008. Its
weights are the mean (ours) of two models. One is a regression: SLIM (Ning and Karypis, ICDM 2011)
with an L2 penalty alone and the nearest items as support, so one small linear system per item. The
other is a random walk: RP3beta (Paudel et al., ACM TiiS 7(1), 2016) with damped users. Where times
are known, a third one counts what was chosen soon after what, as much as both together (ours).

Letters: B users, I items, K neighbours, N entries, X items whose systems are solved together.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from training.data.histories import Histories

NEIGHBOURS = 50
"""Most items with a weight for one item; a hundred bring no more (docs/research-log.md)."""
PENALTY = 10.0
"""On squared weights."""
USER_DAMPING = 0.25
"""A user's row is weighted by (their number of positives)^-USER_DAMPING."""
LONGEST = 100
"""Newest positives of a user that count, so that the cost grows linearly with interactions."""
ALPHA, BETA = 0.6, 0.4
"""Of the random walk: RP3beta's first setting in the benchmarks."""
_BLOCK = 256
_LONGEST_GAP = 20
"""Places between two items of a history that count as one after the other."""
_BACKWARDS = 0.5
"""What an item counts for one that was chosen before it, beside 1 for one chosen after it."""


def item_item_weights(histories: Histories) -> csr_array:
    """Weights [I, I] of an item (row) of a user's history for another item (column).

    Column i has the NEIGHBOURS items of largest cosine with item i. Two kinds of weight are scaled
    so that a history item's weights sum to 1 in the mean, then averaged. X are the users' damped
    rows, G = X^T X:

    - regression: column W_i minimises |X_i - X W_i|^2 + PENALTY |W_i|^2, so items that say the
      same share the weight;
    - random walk: G_hi / (n_h^ALPHA n_i^BETA), n being the items' numbers of positives; each item
      has its weight whatever the others are;
    - order, if it is known: see `in_order`. It weighs as much as the others together.
    """
    both_II = _regression_and_walk(histories)
    if not histories.ordered:
        return both_II
    ordered_II = in_order(histories)
    if ordered_II.nnz == 0:
        return both_II
    return csr_array((both_II + ordered_II) / np.float32(2))


def in_order(histories: Histories) -> csr_array:
    """Weights [I, I] of items for those that follow them in histories (ours).

    sum over pairs of a history of 1 / gap, half of it backwards, over the square root of both
    items' numbers of positives; `NEIGHBOURS` for one item. A history item's weights sum to 1 in
    the mean.
    """
    item_P, shape = histories.item_P, (histories.num_items, histories.num_items)
    place_P = np.arange(len(item_P)) - np.repeat(histories.offset_U1[:-1], histories.length_U)
    total_II = csr_array(shape, dtype=np.float32)
    for gap in range(1, _LONGEST_GAP + 1):
        later_N = np.flatnonzero(place_P >= gap)
        before_N, after_N = item_P[later_N - gap], item_P[later_N]
        weight_N = np.full(len(later_N), 1 / gap, dtype=np.float32)
        forwards_II = csr_array((weight_N, (before_N, after_N)), shape=shape)
        total_II = csr_array(total_II + forwards_II)
    total_II = csr_array(total_II + np.float32(_BACKWARDS) * total_II.T)
    total_II.setdiag(0)
    count_I = np.bincount(item_P, minlength=histories.num_items)
    root = diags_array(np.maximum(count_I, 1.0) ** -0.5)
    row_N, column_N, weight_N = _largest(csr_array(root @ total_II @ root))
    scaled_N = (weight_N / _scale(weight_N, row_N, count_I)).astype(np.float32)
    return csr_array((scaled_N, (row_N, column_N)), shape=shape)


def _largest(weight_II: csr_array) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Rows, columns and values of the NEIGHBOURS largest positive weights of every column."""
    weights = weight_II.tocoo()
    order_N = np.lexsort((weights.row, -weights.data, weights.col))
    column_N = weights.col[order_N]
    first_I = np.searchsorted(column_N, np.arange(weight_II.shape[1]))
    kept_N = (np.arange(len(column_N)) - first_I[column_N] < NEIGHBOURS) & (
        weights.data[order_N] > 0
    )
    return weights.row[order_N][kept_N], column_N[kept_N], weights.data[order_N][kept_N]


def _regression_and_walk(histories: Histories) -> csr_array:
    """Weights [I, I] of the two models that know no order."""
    rows_UI = _damped_rows(histories)
    gram_II = csr_array(rows_UI.T @ rows_UI)
    gram_II.sort_indices()
    count_I = np.bincount(histories.item_P, minlength=histories.num_items)
    root_I = np.sqrt(np.maximum(gram_II.diagonal(), 1e-12))
    found: list[tuple[NDArray[Any], ...]] = []
    for start in range(0, gram_II.shape[0], _BLOCK):
        item_X = range(start, min(start + _BLOCK, gram_II.shape[0]))
        near_X = [_nearest(gram_II, item, root_I) for item in item_X]
        shared_XK, weight_XK = _solved(gram_II, near_X, item_X)
        found += [
            (near, np.full(len(near), item, np.int32), shared_K[: len(near)], weight_K[: len(near)])
            for near, item, shared_K, weight_K in zip(
                near_X, item_X, shared_XK, weight_XK, strict=True
            )
        ]
    row_N, column_N, shared_N, weight_N = (
        np.concatenate(parts) for parts in zip(*found, strict=True)
    )
    degree_I = np.maximum(count_I, 1.0)
    walked_N = shared_N * degree_I[row_N] ** -ALPHA * degree_I[column_N] ** -BETA
    scaled_2N = [kind_N / _scale(kind_N, row_N, count_I) for kind_N in (weight_N, walked_N)]
    mean_N = np.mean(scaled_2N, axis=0).astype(np.float32)
    return csr_array((mean_N, (row_N, column_N)), shape=gram_II.shape)


def item_item_scores(weight_BI: csr_array, item_item_II: csr_array) -> NDArray[np.float32]:
    """Scores [B, I]: the weights' mean over each user's weighted history [B, I]."""
    total_B = np.asarray(weight_BI.sum(axis=1)).ravel()
    mean_BI = csr_array(diags_array(1 / np.maximum(total_B, 1e-12)) @ weight_BI)
    dense_BI: NDArray[np.float32] = (mean_BI @ item_item_II).toarray().astype(np.float32)
    return dense_BI


def standardised(score_BI: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every row over its standard deviation; a row of equal scores becomes zero."""
    deviation_B1 = score_BI.std(axis=1, keepdims=True)
    scaled_BI: NDArray[np.float32] = np.zeros_like(score_BI)
    np.divide(score_BI, deviation_B1, out=scaled_BI, where=deviation_B1 > 0)
    return scaled_BI


def no_weights(num_items: int) -> csr_array:
    """Weights [I, I] without entries."""
    nothing = np.empty(0, dtype=np.int32)
    entries = (np.empty(0, dtype=np.float32), (nothing, nothing))
    return csr_array(entries, shape=(num_items, num_items))


def _damped_rows(histories: Histories) -> csr_array:
    """Every user's newest positives [U, I], damped by their number of them."""
    length_U = histories.length_U
    user_P = np.repeat(np.arange(len(length_U)), length_U)
    age_P = np.repeat(histories.offset_U1[1:], length_U) - 1 - np.arange(len(user_P))
    kept_P = age_P < LONGEST
    weight_U = np.maximum(np.minimum(length_U, LONGEST), 1) ** -USER_DAMPING
    weight_N = weight_U[user_P[kept_P]].astype(np.float32)
    shape = (len(length_U), histories.num_items)
    return csr_array((weight_N, (user_P[kept_P], histories.item_P[kept_P])), shape=shape)


def _nearest(gram_II: csr_array, item: int, root_I: NDArray[np.float32]) -> NDArray[np.int32]:
    """The items of largest cosine with one, in no order; fewer if fewer were chosen with it."""
    row = slice(gram_II.indptr[item], gram_II.indptr[item + 1])
    item_N: NDArray[np.int32] = gram_II.indices[row]
    other_N = item_N != item
    item_N, cosine_N = item_N[other_N], (gram_II.data[row] / root_I[item_N])[other_N]
    if len(item_N) <= NEIGHBOURS:
        return item_N
    return item_N[np.argpartition(-cosine_N, NEIGHBOURS)[:NEIGHBOURS]]


def _solved(
    gram_II: csr_array, near_X: list[NDArray[np.int32]], item_X: range
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each item's neighbours: their entries of G and their regression weights [X, K]."""
    system_XKK = np.zeros((len(near_X), NEIGHBOURS, NEIGHBOURS))
    target_XK1 = np.zeros((len(near_X), NEIGHBOURS, 1))
    diagonal = np.arange(NEIGHBOURS)
    place_I = np.full(gram_II.shape[0], -1, dtype=np.int32)
    for system_KK, target_K1, near, item in zip(
        system_XKK, target_XK1, near_X, item_X, strict=True
    ):
        place_I[near] = np.arange(len(near))
        rows = gram_II[near]
        column_N = place_I[rows.indices]
        inside_N = column_N >= 0
        row_N = np.repeat(np.arange(len(near)), np.diff(rows.indptr))
        system_KK[row_N[inside_N], column_N[inside_N]] = rows.data[inside_N]
        own = slice(gram_II.indptr[item], gram_II.indptr[item + 1])
        own_K = place_I[gram_II.indices[own]]
        target_K1[own_K[own_K >= 0], 0] = gram_II.data[own][own_K >= 0]
        place_I[near] = -1
    system_XKK[:, diagonal, diagonal] += PENALTY
    weight_XK1 = np.linalg.solve(system_XKK, target_XK1).astype(np.float64)
    return target_XK1[:, :, 0], weight_XK1[:, :, 0]


def _scale(
    weight_N: NDArray[np.floating], row_N: NDArray[np.int32], count_I: NDArray[np.int64]
) -> float:
    """The sum of a history item's absolute weights, mean over positives; 1 without any weight."""
    by_item_I = np.bincount(row_N, np.abs(weight_N), minlength=len(count_I))
    return float(by_item_I @ count_I / max(1, count_I.sum())) or 1.0
