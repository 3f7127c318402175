"""Explanations: a score taken apart, in numbers and in words that are true to them.

Letters: B lists, N items of a list, C = B * N, P parts of a score, V views, M modalities,
K experts, A pairs of an item and an expert that is active for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.manifest import ArtifactManifest
from model.runtime.scorer import Breakdown
from model.runtime.top_k import Rows
from service.schemas.responses import ExpertContribution
from service.serving.snapshot import Snapshot

Weights = NDArray[np.float32]

BIAS_PARTS = ("popularity", "newness")
"""What the bias of a score is called: of items that somebody has chosen, and of others."""
_KEPT_WORDS = 1_024
"""Of a name and a percentage: written once, not for every item."""


def plain(number: float) -> float:
    """A float32 as a short decimal: seven places, as many as it has; never a negative zero."""
    return round(float(number), 7) + 0.0


def plain_numbers(numbers: NDArray[np.floating]) -> list[Any]:
    """All of them as `plain` makes them, in lists as deep as the array."""
    rounded: list[Any] = np.round(numbers.astype(np.float64), 7).tolist()
    return rounded


def named(names: Iterable[str], numbers: Iterable[float]) -> dict[str, float]:
    """Plain numbers by name."""
    return dict(zip(names, map(plain, numbers), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ListExplanation:
    """What adds up to the scores of one list."""

    reasons: list[str]
    """A sentence for each item."""
    experts: list[list[ExpertContribution]]
    modality_NM: Weights
    """What each modality adds to the scores."""
    view_NV: Weights


def explain_lists(
    snapshot: Snapshot, rows_BN: Rows, bias_BN: Weights, breakdowns: Sequence[Breakdown]
) -> list[ListExplanation]:
    """Explain several lists with as many items each: in arrays first, in plain values last."""
    manifest, items = snapshot.manifest, snapshot.items
    contribution_CKVM = np.concatenate([each.contribution_CKVM for each in breakdowns])
    weight_CK = np.concatenate([each.weight_CK for each in breakdowns])
    shape_KVM = contribution_CKVM.shape[1:]
    sums = contribution_CKVM.reshape(len(weight_CK), -1) @ _summands(*shape_KVM)
    expert_CK, view_CV, modality_CM = np.split(sums, np.cumsum(shape_KVM[:-1]), axis=1)
    rows_C = rows_BN.reshape(-1)
    bias_C2 = bias_parts(bias_BN.reshape(-1), items.popularity_I[rows_C])
    names = [*manifest.modalities, *BIAS_PARTS]
    words = largest_parts(names, np.column_stack([modality_CM, bias_C2]))
    reasons = list(map(sentence_case, words))
    experts = active_experts(manifest, weight_CK, expert_CK)
    size = rows_BN.shape[1]
    return [
        ListExplanation(
            reasons=reasons[part],
            experts=experts[part],
            modality_NM=modality_CM[part],
            view_NV=view_CV[part],
        )
        for part in (slice(start, start + size) for start in range(0, len(reasons), size))
    ]


@lru_cache
def _summands(num_experts: int, num_views: int, num_modalities: int) -> Weights:
    """Which contributions add up to each expert's, view's and modality's [K * V * M, K + V + M].

    One product makes all the sums, a sixth of the time of summing over the axes of an array of such
    short ones.
    """
    kinds = np.indices((num_experts, num_views, num_modalities)).reshape(3, -1)
    columns = kinds + np.array([[0], [num_experts], [num_experts + num_views]])
    unit = np.eye(num_experts + num_views + num_modalities, dtype=np.float32)
    summands: Weights = unit[columns].sum(axis=0)
    return summands


def active_experts(
    manifest: ArtifactManifest, weight_NK: Weights, contribution_NK: Weights
) -> list[list[ExpertContribution]]:
    """Of each item the experts with a weight above zero, largest contribution first."""
    item_A, expert_A = np.nonzero(weight_NK > 0)
    weight_A, contribution_A = weight_NK[item_A, expert_A], contribution_NK[item_A, expert_A]
    order_A = np.lexsort((-weight_A, -contribution_A, item_A))
    specs = [(spec.name, spec.role, spec.modality) for spec in manifest.experts]
    experts: list[ExpertContribution] = [
        {
            "name": name,
            "role": role,
            "modality": modality,
            "weight": weight,
            "contribution": contribution,
        }
        for (name, role, modality), weight, contribution in zip(
            map(specs.__getitem__, expert_A[order_A].tolist()),
            plain_numbers(weight_A[order_A]),
            plain_numbers(contribution_A[order_A]),
            strict=True,
        )
    ]
    ends_N = np.bincount(item_A, minlength=len(weight_NK)).cumsum().tolist()
    return [experts[start:end] for start, end in pairwise([0, *ends_N])]


def bias_parts(bias_N: Weights, popularity_N: NDArray[np.int64]) -> Weights:
    """Each bias in the column [N, 2] of what it is, see `BIAS_PARTS`."""
    chosen_N = popularity_N > 0
    return np.column_stack([bias_N * chosen_N, bias_N * ~chosen_N])


def largest_parts(names: Sequence[str], part_NP: NDArray[np.floating]) -> list[str]:
    """Words for the one or two largest parts of each score above zero.

    Shares are of the parts above zero, since a negative part is no reason why the item is here; the
    second part is named if it is at least a fifth. Of a score of zero or less, only the most
    negative part is named.

    Args:
        names: of the P parts, two at least.
        part_NP: in points of the score.
    """
    order_NP = np.argsort(-part_NP, axis=1, kind="stable")
    sorted_NP = np.take_along_axis(part_NP, order_NP, axis=1)
    total_N = np.maximum(sorted_NP, 0).sum(axis=1)
    against_N = -np.minimum(sorted_NP, 0).sum(axis=1)
    share_N2 = sorted_NP[:, :2].astype(np.float64) / np.where(total_N > 0, total_N, 1)[:, None]
    percent_N2 = np.rint(100 * share_N2).astype(np.intp)
    found: list[str] = []
    for order, percents, mostly, has_second, positive in zip(
        order_NP.tolist(),
        percent_N2.tolist(),
        (share_N2[:, 0] >= 0.5).tolist(),
        (share_N2[:, 1] >= 0.2).tolist(),
        (total_N > against_N).tolist(),
        strict=True,
    ):
        if not positive:
            name = names[order[-1]]
            found.append(f"the score is not above zero; the lowest contribution is {name}")
            continue
        words = _first(names[order[0]], percents[0], mostly)
        found.append(words + _second(names[order[1]], percents[1]) if has_second else words)
    return found


@lru_cache(_KEPT_WORDS)
def _first(name: str, percent: int, mostly: bool) -> str:
    return f"{'mostly' if mostly else 'led by'} {name} ({percent} % of the positive contributions)"


@lru_cache(_KEPT_WORDS)
def _second(name: str, percent: int) -> str:
    return f", then {name} ({percent} %)"


def sentence_case(words: str) -> str:
    """`words` with a capital first letter, the rest as it is."""
    return words[:1].upper() + words[1:]
