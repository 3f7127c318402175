"""The deletion test: does an item fall furthest when the part that leads its explanation is gone?

Knows scores and their parts; knows nothing about where they come from. A part (an expert's share of
a score, or a modality's) is taken away from every candidate at once, as if that expert were shut,
and ranks are compared. Erasure as a test of attributions: arXiv:1612.08220; by rank: ours.

Letters: C candidates, L listed items, X parts, P pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ALL_OF_IT = 1e-6
"""A weight this close to 1 leaves nothing to share out."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionTest:
    """Shares of the pairs; the rest of them falls further without some other part."""

    pairs: int
    passed: float
    """It falls, and further without the leading part than without any other."""
    undecided: float
    """It falls as far without another part as without the leading one, or falls without none."""


def without(bias_C: Numbers, part_CX: Numbers) -> Numbers:
    """Scores [C, X] with one part gone, the others as they are."""
    without_CX: Numbers = (bias_C + part_CX.sum(axis=1))[:, None] - part_CX
    return without_CX


def without_and_renormalised(bias_C: Numbers, part_CX: Numbers, weight_CX: Numbers) -> Numbers:
    """Scores [C, X] with one expert gone and its weight shared out in proportion to the others'.

    Where it had all the weight, only the bias remains.
    """
    rest_CX = part_CX.sum(axis=1, keepdims=True) - part_CX
    room_CX = 1 - weight_CX
    scaled_CX = np.divide(rest_CX, room_CX, out=np.zeros_like(rest_CX), where=room_CX > _ALL_OF_IT)
    without_CX: Numbers = bias_C[:, None] + scaled_CX
    return without_CX


def falls(score_C: Numbers, without_CX: Numbers, listed_L: NDArray[np.int64]) -> Numbers:
    """How many ranks each listed item loses without each part [L, X]; negative where it rises."""
    before_L = _ranks(score_C, listed_L)
    after_XL = np.stack([_ranks(removed_C, listed_L) for removed_C in without_CX.T])
    return after_XL.T - before_L[:, None]


def _ranks(score_C: Numbers, listed_L: NDArray[np.int64]) -> Numbers:
    """Candidates with a higher score, those with the same score counting half [L]."""
    ascending_C = np.sort(score_C)
    least_L = np.searchsorted(ascending_C, score_C[listed_L], side="left")
    most_L = np.searchsorted(ascending_C, score_C[listed_L], side="right")
    return len(score_C) - (least_L + most_L) / 2


def deletion_test(fall_LX: Sequence[Numbers], lead_L: Sequence[NDArray[np.int64]]) -> DeletionTest:
    """The verdict over the listed items of several users, each with its falls and leading parts."""
    fall_PX, lead_P1 = np.concatenate(fall_LX), np.concatenate(lead_L)[:, None]
    leading_P = np.take_along_axis(fall_PX, lead_P1, axis=1)[:, 0]
    others_PX = fall_PX.copy()
    np.put_along_axis(others_PX, lead_P1, -np.inf, axis=1)
    furthest_P = others_PX.max(axis=1)
    return DeletionTest(
        pairs=len(fall_PX),
        passed=float(((leading_P > furthest_P) & (leading_P > 0)).mean()),
        undecided=float(((leading_P == furthest_P) | (fall_PX.max(axis=1) <= 0)).mean()),
    )
