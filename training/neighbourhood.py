"""The neighbourhood: what single items say for each other, which embeddings are too narrow to hold.

Knows histories and matrices; knows nothing about models. A factor model finds what many items have
in common and forgets what two of them have; neighbourhoods hold just that, and nothing about items
that were never chosen together. Ref: both in one score: Koren, KDD 2008; weights: SLIM (Ning and
Karypis, ICDM 2011) with an L2 penalty alone and the nearest items as support, which makes them the
solution of one small linear system per item; damped rows are ours.

Letters: B users, I items, K neighbours, X items whose systems are solved together.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from training.histories import Histories

NEIGHBOURS = 50
"""Items that speak for an item; a hundred bring no more (docs/research-log.md)."""
PENALTY = 10.0
"""On squared weights."""
USER_DAMPING = 0.25
"""A user's row is weighed by (her number of positives)^-USER_DAMPING."""
LONGEST = 100
"""Newest positives of a user that count, so that the cost grows linearly with interactions."""
_BLOCK = 256


def neighbourhood_weights(histories: Histories) -> csr_array:
    """Weights [I, I]: how much an item (row) of a user's history says for another one (column).

    Column i minimises |X_i - X W_i|^2 + PENALTY |W_i|^2 over the users' damped rows X, W_i being
    zero but for the NEIGHBOURS items of largest cosine with i, never i itself.
    """
    rows_UI = _damped_rows(histories)
    gram_II = csr_array(rows_UI.T @ rows_UI)
    gram_II.sort_indices()
    root_I = np.sqrt(np.maximum(gram_II.diagonal(), 1e-12))
    found: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]] = []
    for start in range(0, gram_II.shape[0], _BLOCK):
        stop = min(start + _BLOCK, gram_II.shape[0])
        near_X = [_nearest(gram_II, item, root_I) for item in range(start, stop)]
        weight_XK = _solved(gram_II, near_X, range(start, stop))
        found += [
            (near, np.full(len(near), start + place, np.int32), weight_K[: len(near)])
            for place, (near, weight_K) in enumerate(zip(near_X, weight_XK, strict=True))
        ]
    row_N, column_N, weight_N = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return csr_array((weight_N, (row_N, column_N)), shape=gram_II.shape)


def neighbourhoods(weight_BI: csr_array, neighbourhood_II: csr_array) -> NDArray[np.float32]:
    """The neighbourhood of every pair [B, I]: the mean over the user's weighted history [B, I]."""
    total_B = np.asarray(weight_BI.sum(axis=1)).ravel()
    mean_BI = csr_array(diags_array(1 / np.maximum(total_B, 1e-12)) @ weight_BI)
    dense_BI: NDArray[np.float32] = (mean_BI @ neighbourhood_II).toarray().astype(np.float32)
    return dense_BI


def no_neighbourhood(num_items: int) -> csr_array:
    """Weights [I, I] of nothing for nothing."""
    nothing = np.empty(0, dtype=np.float32)
    offsets = np.zeros(num_items + 1, dtype=np.int64)
    return csr_array((nothing, np.empty(0, np.int32), offsets), shape=(num_items, num_items))


def as_tensors(neighbourhood_II: csr_array) -> dict[str, NDArray[Any]]:
    """The artifact's arrays of the weights."""
    ordered_II = neighbourhood_II.sorted_indices()
    return {
        "neighbourhood_offsets": ordered_II.indptr.astype(np.int64),
        "neighbourhood_items": ordered_II.indices.astype(np.int32),
        "neighbourhood_weights": ordered_II.data.astype(np.float32),
    }


def from_tensors(tensors: Mapping[str, NDArray[Any]]) -> csr_array:
    """The weights [I, I] of an artifact."""
    offsets, items, weights = (
        tensors[f"neighbourhood_{part}"] for part in ("offsets", "items", "weights")
    )
    num_items = len(offsets) - 1
    return csr_array((weights, items, offsets), shape=(num_items, num_items))


def _damped_rows(histories: Histories) -> csr_array:
    """Every user's newest positives [U, I], weighed down with her number of them."""
    length_U = histories.length_U
    user_P = np.repeat(np.arange(len(length_U)), length_U)
    age_P = np.repeat(histories.offset_U1[1:], length_U) - 1 - np.arange(len(user_P))
    kept_P = age_P < LONGEST
    weight_U = np.maximum(np.minimum(length_U, LONGEST), 1) ** -USER_DAMPING
    weight_N = weight_U[user_P[kept_P]].astype(np.float32)
    shape = (len(length_U), histories.num_items)
    return csr_array((weight_N, (user_P[kept_P], histories.item_P[kept_P])), shape=shape)


def _nearest(gram_II: csr_array, item: int, root_I: NDArray[np.float32]) -> NDArray[np.int32]:
    """The items of largest cosine with one, in no order; fewer where fewer were chosen with it."""
    row = slice(gram_II.indptr[item], gram_II.indptr[item + 1])
    item_N: NDArray[np.int32] = gram_II.indices[row]
    other_N = item_N != item
    item_N, cosine_N = item_N[other_N], (gram_II.data[row] / root_I[item_N])[other_N]
    if len(item_N) <= NEIGHBOURS:
        return item_N
    return item_N[np.argpartition(-cosine_N, NEIGHBOURS)[:NEIGHBOURS]]


def _solved(
    gram_II: csr_array, near_X: list[NDArray[np.int32]], item_X: range
) -> NDArray[np.float32]:
    """The weights of the neighbours of some items [X, K]."""
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
    weight_XK: NDArray[np.float32] = np.linalg.solve(system_XKK, target_XK1)[:, :, 0]
    return weight_XK.astype(np.float32)
