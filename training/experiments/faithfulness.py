"""Are an artifact's explanations true? Additivity, the deletion test, planted tastes, and reasons.

The deletion test takes a part of a score (an expert's share, or a modality's) away from every
candidate at once and compares ranks: an item should fall furthest without the part that leads its
explanation. Erasure as a test of attributions: arXiv:1612.08220; by rank: ours.

Two readings of "the part that leads" are measured side by side. `largest`: the largest share of the
score. `above_usual`: the share that exceeds by most its own mean over the user's candidates, since
a share that every candidate has ranks nothing. The second is each part's Shapley value against the
catalogue, the score being a sum of parts (arXiv:1705.07874, Corollary 1).

Reasons name items of the history, by the same two readings: an item that says much for every
candidate would lead every reason of a list.

Letters: C candidates, L listed items, X parts, K experts, V views, M modalities, P pairs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from model.runtime.evidence import NEWEST, ListedItems, evidence, named
from training.evaluate.artifact import ArtifactEvaluation
from training.evaluate.protocol import top_items

LISTED = 20
"""Length of the recommendation list whose explanations are tested."""
LED = (10, 20)
"""Lengths of lists whose reasons are looked at: the usual one, and all that are tested."""
_ALL_OF_IT = 1e-6
"""A weight this close to 1 leaves nothing to share out."""

Reading = Literal["largest", "above_usual"]
READINGS: tuple[Reading, ...] = get_args(Reading)
Removal = Literal["expert", "expert_renormalised", "modality"]
Pairs = Literal["recommended", "test"]
Rows = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionTest:
    """Shares of the pairs of a user and an item; the rest falls further without another part."""

    pairs: int
    passed: float
    """The item falls, and further without the leading part than without any other."""
    undecided: float
    """It falls as far without another part as without the leading one, or never falls."""


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


def falls(score_C: Numbers, without_CX: Numbers, listed_L: Rows) -> Numbers:
    """How many ranks each listed item loses without each part [L, X]; negative where it rises."""
    before_L = _ranks(score_C, listed_L)
    after_XL = np.stack([_ranks(removed_C, listed_L) for removed_C in without_CX.T])
    return after_XL.T - before_L[:, None]


def _ranks(score_C: Numbers, listed_L: Rows) -> Numbers:
    """Candidates with a higher score, those with the same score counting half [L]."""
    ascending_C = np.sort(score_C)
    least_L = np.searchsorted(ascending_C, score_C[listed_L], side="left")
    most_L = np.searchsorted(ascending_C, score_C[listed_L], side="right")
    return len(score_C) - (least_L + most_L) / 2


def deletion_test(fall_LX: Sequence[Numbers], lead_L: Sequence[Rows]) -> DeletionTest:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How often the leading modality is the planted one."""

    pairs: int
    share: float
    by_driver: dict[str, float]
    """Agreement by driving modality; for `mixed` users either one counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faithfulness:
    """Everything that was measured on one artifact."""

    users: int
    additivity_error: float
    """Largest distance between a score and the sum of its parts; relative for scores over 1."""
    deletion: dict[Removal, dict[Reading, DeletionTest]]
    """Deletion tests, without parts that a score has only one of."""
    most_led: dict[int, dict[Reading, float]]
    """By length of the list: the share of it that the item of the history leads which leads most,
    the mean over users."""
    planted: dict[Pairs, dict[Reading, Agreement]]
    """Without the kinds of which there is no pair; empty where no tastes are planted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Findings:
    """What one user's explanations say."""

    drivers: tuple[str, ...]
    """Their planted modalities."""
    additivity_error: float
    fall_LX: dict[Removal, Numbers]
    """Ranks that each listed item loses without each part."""
    expert_L: dict[Reading, Rows]
    """The leading expert of each listed item."""
    modality_L: dict[Pairs, dict[Reading, Rows]]
    """The leading modality of each listed item, and of each test item."""
    most_led: dict[int, dict[Reading, float]]
    """The share of the list that one item of the history leads, by the list's length."""


def measure_faithfulness(
    evaluation: ArtifactEvaluation,
    planted: Mapping[str, tuple[str, ...]] | None,
    num_users: int,
    seed: int = 0,
) -> Faithfulness:
    """Measure on the lists and test items of at most `num_users` users with a training history.

    `planted` has the driving modalities of every user; None if they are unknown.
    """
    dataset, manifest = evaluation.dataset, evaluation.artifact.manifest
    known_U = np.flatnonzero(dataset.train_histories.length_U)
    chosen_U = np.random.default_rng(seed).permutation(known_U)[:num_users]
    findings = [
        _findings(evaluation, user, planted[dataset.user_ids[user]] if planted else ())
        for user in chosen_U.tolist()
    ]
    return Faithfulness(
        users=len(findings),
        additivity_error=max(found.additivity_error for found in findings),
        deletion={
            removal: {
                reading: deletion_test(
                    [found.fall_LX[removal] for found in findings],
                    [
                        (x.modality_L["recommended"] if removal == "modality" else x.expert_L)[
                            reading
                        ]
                        for x in findings
                    ],
                )
                for reading in READINGS
            }
            for removal in findings[0].fall_LX
        },
        most_led={
            length: {
                reading: fmean(found.most_led[length][reading] for found in findings)
                for reading in READINGS
            }
            for length in LED
        },
        planted=_planted(findings, manifest.modalities) if planted else {},
    )


def leading(part_CX: Numbers, listed_L: Rows) -> dict[Reading, Rows]:
    """The leading part of each listed item [L]."""
    listed_LX = part_CX[listed_L]
    return {
        "largest": listed_LX.argmax(axis=1),
        "above_usual": (listed_LX - part_CX.mean(axis=0)).argmax(axis=1),
    }


def _findings(evaluation: ArtifactEvaluation, user: int, drivers: tuple[str, ...]) -> _Findings:
    dataset = evaluation.dataset
    unseen_C = np.setdiff1d(np.arange(dataset.train.shape[1]), dataset.train[[user]].indices)
    profile = evaluation.profile(user)
    score_C = evaluation.scorer.score(profile, unseen_C)
    breakdown = evaluation.scorer.explain(profile, unseen_C)
    bias_C = evaluation.scorer.bias_I[unseen_C].astype(np.float64)
    contribution_CKVM = breakdown.contribution_CKVM.astype(np.float64)
    weight_CK = breakdown.weight_CK.astype(np.float64)
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
        expert_L=leading(expert_CK, listed_L),
        modality_L={
            "recommended": leading(modality_CM, listed_L),
            "test": leading(modality_CM, test_L),
        },
        most_led=most_led(
            evaluation, user, unseen_C[listed_L], contribution_CKVM[listed_L].sum(axis=1)
        ),
    )


def most_led(
    evaluation: ArtifactEvaluation, user: int, rows_L: Rows, contribution_LVM: Numbers
) -> dict[int, dict[Reading, float]]:
    """The share of a list that one item of the user's history leads, by the list's length."""
    found = evidence(
        evaluation.profiles,
        evaluation.artifact.tensors["item_embeddings"],
        [ListedItems(rows_L, evaluation.profile(user), [evaluation.history(user)])],
        contribution_LVM.reshape(1, len(rows_L), -1).astype(np.float32),
        NEWEST,
    )
    chosen = named(found, len(rows_L))
    lead_L: dict[Reading, Rows] = {
        "largest": found.points_BRH[0].argmax(axis=1),
        "above_usual": np.where(chosen.share_BNX[0, :, 0] > 0, chosen.column_BNX[0, :, 0], -1),
    }
    return {
        length: {
            reading: float(np.bincount(1 + lead_L[reading][:length])[1:].max(initial=0))
            / min(length, len(rows_L))
            for reading in READINGS
        }
        for length in LED
    }


def _planted(
    findings: Sequence[_Findings], modalities: Sequence[str]
) -> dict[Pairs, dict[Reading, Agreement]]:
    drivers = [found.drivers for found in findings]
    kinds: tuple[Pairs, ...] = get_args(Pairs)
    return {
        pairs: {
            reading: _agreement(
                drivers, [found.modality_L[pairs][reading] for found in findings], modalities
            )
            for reading in READINGS
        }
        for pairs in kinds
        if any(len(found.modality_L[pairs]["largest"]) for found in findings)
    }


def _agreement(
    drivers: Sequence[tuple[str, ...]], lead_L: Sequence[Rows], modalities: Sequence[str]
) -> Agreement:
    """Shares of the pairs of all users; every pair counts once."""
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


_REMOVALS: dict[Removal, str] = {
    "expert": "falls furthest without its expert",
    "expert_renormalised": "  the same, weights renormalised",
    "modality": "falls furthest without its modality",
}
_PAIRS: dict[Pairs, str] = {
    "recommended": f"leads as planted, top {LISTED}",
    "test": "leads as planted, test items",
}


def as_text(result: Faithfulness) -> Iterator[str]:
    """The figures as lines: a share per pair, for both readings of what leads."""
    yield f"{result.users} users; largest error of a sum of parts: {result.additivity_error:.1e}"
    yield f"{'':46s}{'pairs':>8s}{'largest':>10s}{'above usual':>13s}"
    for removal, tests in result.deletion.items():
        largest, above = tests["largest"], tests["above_usual"]
        yield _row(_REMOVALS[removal], largest.passed, above.passed, largest.pairs)
        yield _row("  undecided", largest.undecided, above.undecided)
    for length, led in result.most_led.items():
        label = f"of {length} reasons, one item of the history leads"
        yield _row(label, led["largest"], led["above_usual"])
    for pairs, agreements in result.planted.items():
        readings = agreements["largest"], agreements["above_usual"]
        yield _row(_PAIRS[pairs], readings[0].share, readings[1].share, readings[0].pairs)
        for driver, share in readings[0].by_driver.items():
            yield _row(f"  {driver}", share, readings[1].by_driver[driver])


def _row(label: str, largest: float, above_usual: float, pairs: int | None = None) -> str:
    count = "" if pairs is None else f"{pairs:,}"
    return f"{label:46s}{count:>8s}{largest:10.4f}{above_usual:13.4f}"
