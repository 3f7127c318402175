"""What the studies of withheld users and items share: smaller training parts, models of them.

Letters: U users, I items, P positives, X users or items.
"""

import hashlib
import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from training.cli.progress import epochs_shown
from training.data.dataset import Dataset
from training.data.histories import Histories
from training.evaluate.protocol import ScoreFunction, popularity_scores
from training.fit.config import TrainingConfig
from training.fit.early import Watch
from training.fit.trained_model import TrainedModel
from training.fit.trainer import train

log = logging.getLogger(__name__)

Mask = NDArray[np.bool_]


class NothingToMeasureError(ValueError):
    """Withheld users or items have no test positive; the message says which."""


def train_shown(dataset: Dataset, config: TrainingConfig, what: str) -> TrainedModel:
    """Train with progress on the terminal; `what` says which model it is."""
    log.info(f"{what}, seed {config.seed}:")
    with epochs_shown(config) as on_epoch:
        return train(dataset, config, watch=Watch(on_epoch=on_epoch))


def drawn(count_X: NDArray[np.int64], share: float) -> Mask:
    """A random share of the users or items with training positives, at least one; always the same.

    `count_X` has the training positives of every user or item; the share is between 0 and 1.
    """
    known = np.flatnonzero(count_X)
    number = max(1, round(share * len(known)))
    drawn_X = np.zeros(len(count_X), dtype=np.bool_)
    drawn_X[np.random.default_rng(0).choice(known, number, replace=False)] = True
    return drawn_X


def within(matrix: csr_array, user_U: Mask, item_I: Mask) -> csr_array:
    """The entries of a matrix [U, I] in some rows and columns; the others are empty."""
    kept = csr_array(diags_array(user_U.astype("f4")) @ matrix @ diags_array(item_I.astype("f4")))
    kept.eliminate_zeros()
    return kept


def with_training_part(dataset: Dataset, kept_P: Mask, valid: csr_array, key: bytes) -> Dataset:
    """The data set with some of its training positives, and other validation positives.

    Rows of users and items without positives stay, empty, and so do all features.

    Args:
        dataset: the whole one.
        kept_P: which of its training histories' positives stay.
        valid: the validation positives [U, I].
        key: tells this data set from others of the same whole one.
    """
    histories, shape = dataset.train_histories, dataset.train.shape
    user_P = np.repeat(np.arange(shape[0]), histories.length_U)[kept_P]
    item_P = histories.item_P[kept_P]
    kept = Histories.of(user_P, item_P, np.arange(len(user_P), dtype=float), shape)
    pairs = csr_array((np.ones(len(user_P), dtype="f4"), (user_P, item_P)), shape)
    return replace(
        dataset,
        train=csr_array(dataset.train.multiply(pairs)),
        valid=valid,
        train_histories=replace(kept, ordered=histories.ordered),
        sha256=hashlib.sha256(dataset.sha256.encode() + key).hexdigest(),
    )


def random_scores(num_items: int, seed: int) -> ScoreFunction:
    """Scores [B, I] without meaning."""
    rng = np.random.default_rng(seed)
    return lambda user_B: rng.random((len(user_B), num_items), dtype=np.float32)


def popularity(train: csr_array, seed: int) -> ScoreFunction:
    """Scores [B, I] by training positives; ties are broken at random, so that ids tell nothing."""
    count, tie = popularity_scores(train), random_scores(train.shape[1], seed)
    return lambda user_B: count(user_B) + tie(user_B)
