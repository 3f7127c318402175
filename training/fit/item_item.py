"""The item-item model: how much each item of a history counts towards another item.

Embeddings keep what many items have in common and lose what only two of them share. The item-item
model keeps that, for items that were chosen together. Both in one score: Koren, KDD 2008. Its
weights are the mean (ours) of two models. One is a regression: SLIM (Ning and Karypis, ICDM 2011)
with an L2 penalty alone and the nearest items as support, so one small linear system per item. The
other is a random walk: RP3beta (Paudel et al., ACM TiiS 7(1), 2016) with damped users. Where times
are known, a third one counts what was chosen soon after what, as much as both together (ours).

Letters: U users, B users of a block, I items, K neighbours, N entries, X items of a block.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, vstack

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
MOST_ENTRIES, FEWEST_ENTRIES = 2**26, 1024
"""Of the matrix G. Where it may have more than the first (0.5 GB), each row keeps an equal part of
so many, but not fewer than the second."""
_BLOCK = 256
_BLOCK_ENTRIES = 2**22
"""Entries that are multiplied or sorted at once, about."""
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
    by_column = weight_II.tocsc()
    found = []
    for start, end in _blocks(np.diff(by_column.indptr)):
        first_X1 = by_column.indptr[start : end + 1]
        block = slice(first_X1[0], first_X1[-1])
        row_N, weight_N = by_column.indices[block], by_column.data[block]
        column_N = np.repeat(np.arange(start, end, dtype=np.int32), np.diff(first_X1))
        order_N = np.lexsort((row_N, -weight_N, column_N))
        rank_N = np.arange(len(order_N)) - (first_X1[column_N - start] - block.start)
        kept_N = order_N[rank_N < NEIGHBOURS]
        kept_N = kept_N[weight_N[kept_N] > 0]
        found.append((row_N[kept_N], column_N[kept_N], weight_N[kept_N]))
    row_N, column_N, weight_N = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return row_N, column_N, weight_N


def _blocks(entries_I: NDArray[np.integer]) -> Iterator[tuple[int, int]]:
    """Ranges of rows with at most `_BLOCK_ENTRIES` entries each, or of one row."""
    total_I = np.cumsum(entries_I, dtype=np.int64)
    start = 0
    while start < len(total_I):
        before = total_I[start - 1] if start else 0
        end = int(np.searchsorted(total_I, before + _BLOCK_ENTRIES, side="right"))
        yield start, max(end, start + 1)
        start = max(end, start + 1)


def _regression_and_walk(histories: Histories) -> csr_array:
    """Weights [I, I] of the two models that know no order."""
    num_items = histories.num_items
    gram_II = _gram(_damped_rows(histories))
    root_I = np.sqrt(np.maximum(gram_II.diagonal(), 1e-12))
    place_I = np.full(num_items, -1, dtype=np.int16)
    found: list[tuple[NDArray[Any], ...]] = []
    for start in range(0, num_items, _BLOCK):
        item_X = range(start, min(start + _BLOCK, num_items))
        near_X = [_nearest(gram_II, item, root_I) for item in item_X]
        shared_XK, weight_XK = _solved(gram_II, near_X, item_X, place_I)
        length_X = np.array([len(near) for near in near_X])
        filled_XK = np.arange(NEIGHBOURS) < length_X[:, None]
        column_N = np.repeat(np.arange(start, item_X.stop, dtype=np.int32), length_X)
        found.append((np.concatenate(near_X), column_N, shared_XK[filled_XK], weight_XK[filled_XK]))
    row_N, column_N, walked_N, weight_N = (
        np.concatenate(parts) for parts in zip(*found, strict=True)
    )
    del found, gram_II
    count_I = np.bincount(histories.item_P, minlength=num_items)
    degree_I = np.maximum(count_I, 1.0)
    walked_N *= (degree_I**-ALPHA)[row_N]
    walked_N *= (degree_I**-BETA)[column_N]
    for kind_N in (weight_N, walked_N):
        kind_N /= _scale(kind_N, row_N, count_I)
    weight_N += walked_N
    mean_N = (weight_N / 2).astype(np.float32)
    return csr_array((mean_N, (row_N, column_N)), shape=(num_items, num_items))


def _gram(rows_UI: csr_array) -> csr_array:
    """G = X^T X [I, I], block by block.

    If it is too large for `MOST_ENTRIES`, long rows keep their entries of largest cosine. An entry
    is lost only if neither of its two items keeps it.
    """
    column_IU = csr_array(rows_UI.T)
    num_items = len(column_IU.indptr) - 1
    root_I = np.sqrt(np.maximum(rows_UI.power(2).sum(axis=0), 1e-12))
    length_N = np.diff(rows_UI.indptr)[column_IU.indices]
    reached_I = np.diff(np.append(0, np.cumsum(length_N, dtype=np.int64))[column_IU.indptr])
    entries_I = np.minimum(reached_I, num_items)
    most = num_items
    if entries_I.sum() > MOST_ENTRIES:
        most = max(FEWEST_ENTRIES, MOST_ENTRIES // num_items)
    blocks, shortened = [], False
    for start, end in _blocks(entries_I):
        block_XI = csr_array(column_IU[start:end] @ rows_UI)
        block_XI.sort_indices()
        if (np.diff(block_XI.indptr) > most).any():
            block_XI, shortened = _shortened(block_XI, root_I, most), True
        blocks.append(block_XI)
    gram_II = csr_array(vstack(blocks, format="csr"))
    return csr_array(gram_II.maximum(gram_II.T)) if shortened else gram_II


def _shortened(block_XI: csr_array, root_I: NDArray[np.float32], most: int) -> csr_array:
    """The `most` entries of largest cosine of every row, which has its own item among them."""
    kept_N = np.ones(block_XI.nnz, dtype=np.bool_)
    for row in np.flatnonzero(np.diff(block_XI.indptr) > most):
        entries = slice(block_XI.indptr[row], block_XI.indptr[row + 1])
        cosine_N = block_XI.data[entries] / root_I[block_XI.indices[entries]]
        dropped_N = np.argpartition(-cosine_N, most)[most:]
        kept_N[entries.start + dropped_N] = False
    indptr = np.append(0, np.cumsum(kept_N))[block_XI.indptr]
    entries_N = (block_XI.data[kept_N], block_XI.indices[kept_N], indptr)
    return csr_array(entries_N, shape=block_XI.shape)


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
    gram_II: csr_array,
    near_X: list[NDArray[np.int32]],
    item_X: range,
    place_I: NDArray[np.int16],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each item's neighbours: their entries of G and their regression weights [X, K].

    `place_I` is to write on, -1 throughout before and after.
    """
    system_XKK = np.zeros((len(near_X), NEIGHBOURS, NEIGHBOURS))
    target_XK1 = np.zeros((len(near_X), NEIGHBOURS, 1))
    diagonal = np.arange(NEIGHBOURS)
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
