"""Are an artifact's explanations true? Additivity, the deletion test, and planted tastes.

Knows what an explanation claims and what is known to be true; knows nothing about how it is shown.

Two readings of "the part that leads" are measured side by side. `largest`: the largest share of the
score. `above_usual`: the share that exceeds by most its own mean over the user's candidates, since
a share that every candidate has ranks nothing. The second is each part's Shapley value against the
catalogue, the score being a sum of parts (arXiv:1705.07874, Corollary 1).

Letters: C candidates, L listed items, X parts, K experts, M modalities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from training.deletion import (
    DeletionTest,
    Numbers,
    deletion_test,
    falls,
    without,
    without_and_renormalised,
)
from training.evaluation import top_items
from training.held_out import HeldOut

LISTED = 20
"""Length of the recommendation list whose explanations are tested."""

Reading = Literal["largest", "above_usual"]
Removal = Literal["expert", "expert_renormalised", "modality"]
Pairs = Literal["recommended", "test"]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How often the leading modality is the planted one."""

    pairs: int
    share: float
    by_driver: dict[str, float]
    """For the users of each driving modality, and for `mixed` ones, where either one agrees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faithfulness:
    """Everything that was measured on one artifact."""

    users: int
    additivity_error: float
    """Largest distance between a score and the sum of its parts; relative for scores over 1."""
    deletion: dict[Removal, dict[Reading, DeletionTest]]
    """Without the parts of which a score has one only."""
    planted: dict[Pairs, dict[Reading, Agreement]]
    """Without the kinds of which there is no pair; empty where no tastes are planted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Findings:
    """What one user's explanations say."""

    drivers: tuple[str, ...]
    additivity_error: float
    fall_LX: dict[Removal, Numbers]
    lead_L: dict[tuple[Removal, Reading], Rows]
    """The leading part of each listed item."""
    test_lead_L: dict[Reading, Rows]
    """The leading modality of each test item."""


def measure_faithfulness(
    held_out: HeldOut, planted: Mapping[str, tuple[str, ...]] | None, num_users: int, seed: int = 0
) -> Faithfulness:
    """Measure on the lists and the test items of some users who have a training history.

    Args:
        held_out: what is measured.
        planted: the driving modalities of every user; None where nobody knows them.
        num_users: at most so many, drawn by seed.
        seed: of the draw.
    """
    dataset, manifest = held_out.dataset, held_out.artifact.manifest
    known_U = np.flatnonzero(dataset.train_histories.length_U)
    chosen_U = np.random.default_rng(seed).permutation(known_U)[:num_users]
    findings = [
        _findings(held_out, user, planted[dataset.user_ids[user]] if planted else ())
        for user in chosen_U.tolist()
    ]
    return Faithfulness(
        users=len(findings),
        additivity_error=max(found.additivity_error for found in findings),
        deletion={
            removal: {
                reading: deletion_test(
                    [found.fall_LX[removal] for found in findings],
                    [found.lead_L[removal, reading] for found in findings],
                )
                for reading in get_args(Reading)
            }
            for removal in findings[0].fall_LX
        },
        planted=_planted(findings, manifest.modalities) if planted else {},
    )


def leading(part_CX: Numbers, listed_L: Rows, reading: Reading) -> Rows:
    """The leading part of each listed item [L]."""
    listed_LX = part_CX[listed_L]
    if reading == "above_usual":
        listed_LX = listed_LX - part_CX.mean(axis=0)
    lead_L: Rows = listed_LX.argmax(axis=1)
    return lead_L


def _findings(held_out: HeldOut, user: int, drivers: tuple[str, ...]) -> _Findings:
    dataset, breakdown = held_out.dataset, held_out.explain(user)
    unseen_C = np.setdiff1d(np.arange(dataset.train.shape[1]), dataset.train[[user]].indices)
    score_C = breakdown.score_I[unseen_C]
    bias_C = held_out.artifact.tensors["item_bias"][unseen_C].astype(np.float64)
    contribution_CKVM = breakdown.contribution_IKVM[unseen_C].astype(np.float64)
    weight_CK = breakdown.weight_IK[unseen_C].astype(np.float64)
    expert_CK, modality_CM = contribution_CKVM.sum((2, 3)), contribution_CKVM.sum((1, 2))
    sum_C = bias_C + expert_CK.sum(axis=1)
    listed_L = top_items(score_C[None], min(LISTED, len(score_C)))[0]
    test_L = np.searchsorted(unseen_C, dataset.test[[user]].indices)
    without_CX: dict[Removal, Numbers] = {}
    if expert_CK.shape[1] > 1:
        without_CX["expert"] = without(bias_C, expert_CK)
        without_CX["expert_renormalised"] = without_and_renormalised(bias_C, expert_CK, weight_CK)
        without_CX["modality"] = without(bias_C, modality_CM)
    return _Findings(
        drivers=drivers,
        additivity_error=float((np.abs(score_C - sum_C) / np.maximum(1, np.abs(score_C))).max()),
        fall_LX={what: falls(sum_C, gone_CX, listed_L) for what, gone_CX in without_CX.items()},
        lead_L={
            (removal, reading): leading(
                modality_CM if removal == "modality" else expert_CK, listed_L, reading
            )
            for removal in get_args(Removal)
            for reading in get_args(Reading)
        },
        test_lead_L={
            reading: leading(modality_CM, test_L, reading) for reading in get_args(Reading)
        },
    )


def _planted(
    findings: Sequence[_Findings], modalities: Sequence[str]
) -> dict[Pairs, dict[Reading, Agreement]]:
    drivers = [found.drivers for found in findings]
    lead_L: dict[Pairs, dict[Reading, list[Rows]]] = {
        "recommended": {
            reading: [found.lead_L["modality", reading] for found in findings]
            for reading in get_args(Reading)
        },
        "test": {
            reading: [found.test_lead_L[reading] for found in findings]
            for reading in get_args(Reading)
        },
    }
    return {
        pairs: {
            reading: _agreement(drivers, of_users, modalities)
            for reading, of_users in by_reading.items()
        }
        for pairs, by_reading in lead_L.items()
        if any(map(len, by_reading["largest"]))
    }


def _agreement(
    drivers: Sequence[tuple[str, ...]], lead_L: Sequence[Rows], modalities: Sequence[str]
) -> Agreement:
    """Every pair counts once, whoever's it is."""
    agrees: dict[str, list[bool]] = {}
    for driver, lead in zip(drivers, lead_L, strict=True):
        name = driver[0] if len(driver) == 1 else "mixed"
        agrees.setdefault(name, []).extend(modalities[leader] in driver for leader in lead)
    every = [agreed for of_driver in agrees.values() for agreed in of_driver]
    return Agreement(
        pairs=len(every),
        share=fmean(every),
        by_driver={name: fmean(each) for name, each in sorted(agrees.items()) if each},
    )
