"""Users or items withheld from training: which ones, and the data set without them.

Knows data sets; knows nothing about models. Letters: U users, I items, P positives.
"""

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from training.dataset import Dataset
from training.histories import Histories

Mask = NDArray[np.bool_]


def drawn(count_X: NDArray[np.int64], share: float) -> Mask:
    """A random share, by a fixed seed, of the users or items with training positives.

    Args:
        count_X: training positives of every user or item.
        share: between 0 and 1; at least one is drawn.
    """
    known = np.flatnonzero(count_X)
    number = max(1, round(share * len(known)))
    drawn_X = np.zeros(len(count_X), dtype=np.bool_)
    drawn_X[np.random.default_rng(0).choice(known, number, replace=False)] = True
    return drawn_X


def without_users(dataset: Dataset, user_U: Mask) -> Dataset:
    """The data set as training sees it without some users; rows stay, empty."""
    return _restricted(dataset, ~user_U, np.ones(len(dataset.item_ids), dtype=np.bool_))


def without_items(dataset: Dataset, item_I: Mask) -> Dataset:
    """The data set as training sees it before anyone has chosen some items; features stay."""
    return _restricted(dataset, np.ones(len(dataset.user_ids), dtype=np.bool_), ~item_I)


def within(matrix: csr_array, user_U: Mask, item_I: Mask) -> csr_array:
    """The entries of a matrix [U, I] in some rows and columns; the others are empty."""
    kept = diags_array(user_U.astype("f4")) @ matrix @ diags_array(item_I.astype("f4"))
    kept = csr_array(kept)
    kept.eliminate_zeros()
    return kept


def _restricted(dataset: Dataset, user_U: Mask, item_I: Mask) -> Dataset:
    """Training and validation positives of some users and items only."""
    digest = hashlib.sha256(dataset.sha256.encode())
    digest.update(np.packbits(user_U).tobytes() + np.packbits(item_I).tobytes())
    return replace(
        dataset,
        train=within(dataset.train, user_U, item_I),
        valid=within(dataset.valid, user_U, item_I),
        train_histories=_kept(dataset.train_histories, user_U, item_I),
        sha256=digest.hexdigest(),
    )


def _kept(histories: Histories, user_U: Mask, item_I: Mask) -> Histories:
    """Histories with only some users' positives on some items, in the order they had."""
    user_P = np.repeat(np.arange(len(user_U)), histories.length_U)
    kept_P = user_U[user_P] & item_I[histories.item_P]
    length_U = np.bincount(user_P[kept_P], minlength=len(user_U))
    return Histories(
        offset_U1=np.concatenate([[0], np.cumsum(length_U)]),
        item_P=histories.item_P[kept_P],
        num_items=histories.num_items,
        ordered=histories.ordered,
    )
