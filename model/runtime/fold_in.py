"""Vectors of histories: fold-in of a session, and its blend with a known user.

Pure numpy; knows nothing about ids, stores or requests.

Letters: H items of a session, V views, M modalities, D dimension.
"""

# FOLDED model/runtime/fold_in.py: How much each item of a history counts: the one formula that training and serving share.
#
#   Letters: H history length.
#

import numpy as np
from numpy.typing import NDArray


def recency_weights(age_H: NDArray[np.integer], power: float) -> NDArray[np.float32]:
    """(1 + age)^-power, where age 0 is the newest item of a history (ours).

    A power of 0 counts every item alike, for histories whose order means nothing.
    """
    return ((1.0 + age_H) ** -power).astype(np.float32)


Vectors = NDArray[np.float32]
Rows = NDArray[np.integer]


def history_rows(foldin_IVMD: Vectors, rows_H: Rows, recency_power: float) -> Vectors:
    """What each item of a history, oldest first, adds to the user's vector [H, V, M, D]."""
    age_H = np.arange(len(rows_H))[::-1]
    weight_H = recency_weights(age_H, recency_power)
    weighted_HVMD: Vectors = foldin_IVMD[rows_H] * weight_H[:, None, None, None]
    return weighted_HVMD


def of_equal_total(foldin_HVMD: Vectors) -> Vectors:
    """A history's rows, scaled so that their lengths add up to 1 in every view and modality."""
    total_VM1 = np.linalg.norm(foldin_HVMD, axis=-1, keepdims=True).sum(axis=0)
    scaled_HVMD: Vectors = np.zeros_like(foldin_HVMD)
    np.divide(foldin_HVMD, total_VM1, out=scaled_HVMD, where=total_VM1 > 0)
    return scaled_HVMD


def fold_in(foldin_HVMD: Vectors) -> Vectors | None:
    """The user vector [V, M, D] of a session, or None if its items say nothing.

    As `model.network.encoder.fold_in`: a row's direction is what the session is about, its length how
    coherent the session is.
    """
    user_VMD: Vectors = of_equal_total(foldin_HVMD).sum(axis=0)
    return user_VMD if user_VMD.any() else None


def blend(user_VMD: Vectors, session_VMD: Vectors) -> Vectors:
    """Half the user, half the session: the fold-in of both histories, each with the same total.

    Ours. The more coherent side says more. Where one side has no row for a view and modality, the
    other side's direction is used.
    """
    mean_VMD: Vectors = (user_VMD + session_VMD) / np.float32(2)
    return mean_VMD
