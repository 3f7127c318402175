"""The item-item model: how much each item of a history counts towards another item.

Embeddings keep what many items have in common and lose what only two of them share. The item-item
model keeps that, for items that were chosen together. Both in one score: Koren, KDD 2008. Its
weights are the mean (ours) of two models. One is a regression: SLIM (Ning and Karypis, ICDM 2011)
with an L2 penalty alone and the nearest items as support, so one small linear system per item. The
other is a random walk: RP3beta (Paudel et al., ACM TiiS 7(1), 2016) with damped users. Where times
are known, a third one counts what was chosen soon after what, as much as both together (ours). Of
the sum, each item keeps its largest weights (ADR 57).

Letters: U users, B users of a block, I items, K items of a support, N entries, X items of a block.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, diags_array, vstack

from training.data.histories import Histories

MOST_NEIGHBOURS, FEWEST_NEIGHBOURS = 200, 50
"""Most items that one item of a history says something for; see `num_neighbours`."""
MOST_WEIGHTS = 2**22
"""Of the model, while items have more than the fewest neighbours; 34 MB."""
SUPPORT = 100
"""Most items that an item is regressed on."""
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


def num_neighbours(num_items: int) -> int:
    """Most weights of one item: fewer among many items, so that memory does not grow fourfold."""
    return min(MOST_NEIGHBOURS, max(FEWEST_NEIGHBOURS, MOST_WEIGHTS // max(1, num_items)))


def item_item_weights(histories: Histories) -> csr_array:
    """Weights [I, I] of an item (row) of a user's history for another item (column).

    Two kinds of weight are scaled so that a history item's weights sum to 1 in the mean, then
    averaged. X are the users' damped rows, G = X^T X:

    - regression: column W_i minimises |X_i - X W_i|^2 + PENALTY |W_i|^2 over the items of largest
      cosine with item i, so items that say the same share the weight;
    - random walk: G_hi / (n_h^ALPHA n_i^BETA), n being the items' numbers of positives; each item
      has its weight whatever the others are;
    - order, if it is known: see `in_order`. It weighs as much as the others together.

    A row keeps its `num_neighbours` largest weights.
    """
    most = num_neighbours(histories.num_items)
    weight_II = _regression_and_walk(histories, most)
    if histories.ordered:
        ordered_II = in_order(histories)
        if ordered_II.nnz > 0:
            weight_II = csr_array((weight_II + ordered_II) / np.float32(2))
    return _largest(weight_II, most)


def in_order(histories: Histories) -> csr_array:
    """Weights [I, I] of items for those that follow them in histories (ours).

    sum over pairs of a history of 1 / gap, half of it backwards, over the square root of both
    items' numbers of positives. A history item's weights sum to 1 in the mean.
    """
    item_P, shape = histories.item_P, (histories.num_items, histories.num_items)
    place_P = np.arange(len(item_P)) - np.repeat(histories.offset_U1[:-1], histories.length_U)
    total_II: Any = csr_array(shape, dtype=np.float32)  # SciPy's types take a shape for a vector
    for gap in range(1, _LONGEST_GAP + 1):
        later_N = np.flatnonzero(place_P >= gap)
        before_N, after_N = item_P[later_N - gap], item_P[later_N]
        weight_N = np.full(len(later_N), 1 / gap, dtype=np.float32)
        forwards_II = csr_array((weight_N, (before_N, after_N)), shape=shape)
        total_II = csr_array(total_II + forwards_II)
    total_II = csr_array(total_II + np.float32(_BACKWARDS) * total_II.T)
    count_I = np.bincount(item_P, minlength=histories.num_items)
    root_I = np.maximum(count_I, 1.0) ** -0.5
    _scale_others(total_II, root_I, root_I)
    total_II.data /= _mean_sum(total_II, count_I)
    return csr_array(total_II)


def _largest(weight_II: csr_array, most: int) -> csr_array:
    """The `most` largest weights of either sign of every row."""
    size_N = np.abs(weight_II.data)
    return _selected(weight_II, _are_largest(weight_II.indptr, size_N, most) & (size_N > 0))


def _are_largest(
    indptr_X1: NDArray[np.integer], size_N: NDArray[np.floating], most: int
) -> NDArray[np.bool_]:
    """Which entries are among the `most` of largest size of their row."""
    kept_N = np.ones(len(size_N), dtype=np.bool_)
    for row in np.flatnonzero(np.diff(indptr_X1) > most):
        start, end = indptr_X1[row : row + 2]
        kept_N[start + np.argpartition(-size_N[start:end], most)[most:]] = False
    return kept_N


def _selected(rows_XI: csr_array, kept_N: NDArray[np.bool_]) -> csr_array:
    """The matrix of some of its entries."""
    indptr = np.append(0, np.cumsum(kept_N))[rows_XI.indptr]
    return csr_array((rows_XI.data[kept_N], rows_XI.indices[kept_N], indptr), shape=rows_XI.shape)


def _scale_others(
    weight_II: csr_array, row_I: NDArray[np.floating], column_I: NDArray[np.floating]
) -> None:
    """Multiply in place by a number for each row and each column; the diagonal becomes 0."""
    length_I = np.diff(weight_II.indptr)
    for start, end in _blocks(length_I):
        entries = slice(weight_II.indptr[start], weight_II.indptr[end])
        row_N = np.repeat(np.arange(start, end), length_I[start:end])
        column_N = weight_II.indices[entries]
        factor_N = (row_I[row_N] * column_I[column_N]).astype(np.float32)
        weight_II.data[entries] *= np.where(row_N == column_N, 0, factor_N)


def _blocks(entries_I: NDArray[np.integer]) -> Iterator[tuple[int, int]]:
    """Ranges of rows with at most `_BLOCK_ENTRIES` entries each, or of one row."""
    total_I = np.cumsum(entries_I, dtype=np.int64)
    start = 0
    while start < len(total_I):
        before = total_I[start - 1] if start else 0
        end = int(np.searchsorted(total_I, before + _BLOCK_ENTRIES, side="right"))
        yield start, max(end, start + 1)
        start = max(end, start + 1)


def _regression_and_walk(histories: Histories, most: int) -> csr_array:
    """Weights [I, I] of the two models that know no order; of the walk, `most` in a row."""
    num_items = histories.num_items
    gram_II = _gram(_damped_rows(histories))
    regressed_II = _regression(gram_II, min(SUPPORT, most))
    count_I = np.bincount(histories.item_P, minlength=num_items)
    degree_I = np.maximum(count_I, 1.0)
    _scale_others(gram_II, degree_I**-ALPHA, degree_I**-BETA)
    walked_II = _largest(gram_II, most)
    for kind_II in (regressed_II, walked_II):
        kind_II.data /= 2 * _mean_sum(kind_II, count_I)
    return csr_array(regressed_II + walked_II)


def _regression(gram_II: csr_array, support: int) -> csr_array:
    """Weights [I, I] of every item's `support` items of largest cosine."""
    num_items = gram_II.shape[0]
    root_I = np.sqrt(np.maximum(gram_II.diagonal(), 1e-12))
    place_I = np.full(num_items, -1, dtype=np.int16)
    near_I, weight_I = [], []
    for start in range(0, num_items, _BLOCK):
        item_X = range(start, min(start + _BLOCK, num_items))
        near_X = [_nearest(gram_II, item, root_I, support) for item in item_X]
        weight_XK = _solved(gram_II, near_X, item_X, place_I, support)
        filled_XK = np.arange(support) < np.array([len(near) for near in near_X])[:, None]
        near_I.extend(near_X)
        weight_I.append(weight_XK[filled_XK].astype(np.float32))
    indptr = np.append(0, np.cumsum([len(near) for near in near_I]))
    entries = (np.concatenate(weight_I), np.concatenate(near_I), indptr)
    return csr_array(csc_array(entries, shape=gram_II.shape))


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
    cosine_N = block_XI.data / root_I[block_XI.indices]
    return _selected(block_XI, _are_largest(block_XI.indptr, cosine_N, most))


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


def _nearest(
    gram_II: csr_array, item: int, root_I: NDArray[np.float32], count: int
) -> NDArray[np.int32]:
    """`count` items of largest cosine with one, in no order; fewer if fewer were chosen with it."""
    row = slice(gram_II.indptr[item], gram_II.indptr[item + 1])
    item_N: NDArray[np.int32] = gram_II.indices[row]
    other_N = item_N != item
    item_N, cosine_N = item_N[other_N], (gram_II.data[row] / root_I[item_N])[other_N]
    if len(item_N) <= count:
        return item_N
    return item_N[np.argpartition(-cosine_N, count)[:count]]


def _solved(
    gram_II: csr_array,
    near_X: list[NDArray[np.int32]],
    item_X: range,
    place_I: NDArray[np.int16],
    support: int,
) -> NDArray[np.float64]:
    """Regression weights [X, K] of each item's nearest ones.

    `place_I` is to write on, -1 throughout before and after.
    """
    system_XKK = np.zeros((len(near_X), support, support))
    target_XK1 = np.zeros((len(near_X), support, 1))
    diagonal = np.arange(support)
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
    return weight_XK1[:, :, 0]


def _mean_sum(weight_II: csr_array, count_I: NDArray[np.int64]) -> np.float32:
    """The sum of a history item's absolute weights, mean over positives; 1 without any weight."""
    sum_I = np.asarray(abs(weight_II).sum(axis=1)).ravel()
    return np.float32(sum_I @ count_I / max(1, count_I.sum()) or 1)
