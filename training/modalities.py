"""Dense feature vectors per item, one set per content modality, aligned to item rows.

Knows how a `<modality>_feat.npy` file is read and how a bag of tokens becomes a vector; knows
nothing about where tokens come from or about users.

Letters: I items, R rows of a feature file, F width of a feature vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from training.tables import DataError

MAX_TOKEN_DIM = 128
"""Most dimensions kept of a bag of tokens; enough for a few thousand terms to stay apart."""
_MIN_ITEMS_PER_TOKEN = 2
"""A token of one item only tells it from the others and relates it to none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityFeatures:
    """One modality's vectors; the row of an item that has none is zero and flagged."""

    x_IF: NDArray[np.float32]
    present_I: NDArray[np.bool_]


def features_of_tokens(tokens: Sequence[Sequence[str]], seed: int) -> ModalityFeatures | None:
    """TF-IDF over each item's tokens [I], reduced to at most 128 dimensions by truncated SVD.

    An item without a token that some other item shares is missing. None if no token is shared.
    """
    counts: dict[str, int] = {}
    for bag in tokens:
        for token in set(bag):
            counts[token] = counts.get(token, 0) + 1
    vocabulary = sorted(token for token, count in counts.items() if count >= _MIN_ITEMS_PER_TOKEN)
    if not vocabulary:
        return None
    weighting = TfidfVectorizer(analyzer=list, vocabulary=vocabulary, sublinear_tf=True)
    weight_IT = weighting.fit_transform(tokens)
    present_I = np.diff(weight_IT.indptr) > 0
    if len(vocabulary) <= MAX_TOKEN_DIM:
        x_IF = weight_IT.toarray()
    else:
        # The number of threads would change the last bits, and with them the data set's digest.
        with threadpool_limits(limits=1):
            left_IF, singular_F, _ = randomized_svd(weight_IT, MAX_TOKEN_DIM, random_state=seed)
        x_IF = left_IF * singular_F
    x_IF[~present_I] = 0.0
    return ModalityFeatures(x_IF=x_IF.astype(np.float32), present_I=present_I)


def read_feature_file(path: Path, row_I: NDArray[np.int64], num_rows: int) -> ModalityFeatures:
    """Read `<modality>_feat.npy` and align it to the items.

    Args:
        path: a two-dimensional float16, float32 or float64 array. A row of NaN throughout, or of
            zeros throughout, stands for an item without this modality.
        row_I: the file row of each item, -1 for an item that the file does not cover.
        num_rows: rows the file must have.

    Raises:
        DataError: not such an array, another number of rows, or NaN or infinity in a row.
    """
    x_RF = _load(path)
    if len(x_RF) != num_rows:
        raise DataError(
            path,
            f"has {len(x_RF):,} rows, expected {num_rows:,}",
            "a feature file needs one row per line of the item table or, without one, "
            "one per integer item id from 0 to the largest",
        )
    missing_R = np.isnan(x_RF).all(axis=1) | (x_RF == 0).all(axis=1)
    with np.errstate(over="ignore"):
        x_RF = np.where(missing_R[:, None], 0.0, x_RF).astype(np.float32)
    bad_R = ~np.isfinite(x_RF).all(axis=1)
    if bad_R.any():
        raise DataError(
            path,
            f"row {int(np.argmax(bad_R))} (counted from 0) holds NaN, infinity or a number "
            f"too large for float32; {int(bad_R.sum()):,} such rows in all",
            "repair them, or fill the whole row with NaN to mark the item as missing",
        )
    known_I = row_I >= 0
    x_IF = np.zeros((len(row_I), x_RF.shape[1]), dtype=np.float32)
    x_IF[known_I] = x_RF[row_I[known_I]]
    present_I = known_I.copy()
    present_I[known_I] = ~missing_R[row_I[known_I]]
    return ModalityFeatures(x_IF=x_IF, present_I=present_I)


def _load(path: Path) -> NDArray[np.floating]:
    try:
        array: NDArray[np.floating] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            path, f"is not a readable .npy array ({error})", "write it with numpy.save"
        ) from error
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind != "f":
        raise DataError(
            path,
            f"is {array.dtype}{list(array.shape)}, expected float16, float32 or float64 [rows, F]",
            "save one vector of numbers per item",
        )
    return array
