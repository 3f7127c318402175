"""Fold-in: the vector of a history, and its blend with that of a known user.

Letters: H items of a history, V views, M modalities, D dimension.
"""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def recency_weights(age_H: NDArray[np.integer], power: float) -> NDArray[np.float32]:
    """(1 + age)^-power, where age 0 is the newest item of a history (ours).

    A power of 0 counts every item alike, for histories whose order means nothing.
    """
    return ((1.0 + age_H) ** -power).astype(np.float32)


def history_rows(
    foldin_IVMD: Vectors, rows_H: NDArray[np.integer], recency_power: float
) -> Vectors:
    """The fold-in rows of a history, oldest first, times their recency weights [H, V, M, D]."""
    weight_H = recency_weights(np.arange(len(rows_H))[::-1], recency_power)
    weighted_HVMD: Vectors = foldin_IVMD[rows_H] * weight_H[:, None, None, None]
    return weighted_HVMD


def of_equal_total(foldin_HVMD: Vectors) -> Vectors:
    """A history's rows, scaled so that their lengths add up to 1 in every view and modality."""
    total_VM1 = np.linalg.norm(foldin_HVMD, axis=-1, keepdims=True).sum(axis=0)
    scaled_HVMD: Vectors = np.zeros_like(foldin_HVMD)
    np.divide(foldin_HVMD, total_VM1, out=scaled_HVMD, where=total_VM1 > 0)
    return scaled_HVMD


def fold_in(foldin_HVMD: Vectors) -> Vectors:
    """The user vector [V, M, D] of a history's weighted rows; zero where all of them are zero.

    As `model.network.encoder.fold_in`: its direction is what the history is about, its length how
    coherent the history is.
    """
    user_VMD: Vectors = of_equal_total(foldin_HVMD).sum(axis=0)
    return user_VMD


def blend(user_VMD: Vectors, session_VMD: Vectors) -> Vectors:
    """Half the user, half the session: the fold-in of both histories, each with the same total.

    Ours. The more coherent side counts for more. Where one side has no row for a view and modality,
    the other side's direction is used.
    """
    mean_VMD: Vectors = (user_VMD + session_VMD) / np.float32(2)
    return mean_VMD
