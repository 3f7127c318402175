"""A score taken apart, in numbers and in words that are true to them.

Pure: numbers in, parts of an answer out. Knows nothing about where scores come from.

Letters: N items, P parts of a score, H history length, V views, M modalities, D dimension,
K experts, A pairs of an item and an expert that is active for it.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.manifest import ArtifactManifest
from service.foldin import Vectors
from service.schemas import ExpertContribution, ExpertDetail

BIAS_PARTS = ("popularity", "newness")
"""What the bias of a score is called: of items that somebody has chosen, and of others."""

_KEPT_WORDS = 1_024
"""Of a name and a percentage: written once, not for every item."""

Weights = NDArray[np.float32]


def plain(number: float) -> float:
    """A float32 as a short decimal: seven places, as many as it has."""
    return round(float(number), 7)


def plain_numbers(numbers: NDArray[np.floating]) -> list[Any]:
    """All of them as `plain` makes them, in lists as deep as the array."""
    rounded: list[Any] = np.round(numbers.astype(np.float64), 7).tolist()
    return rounded


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


def expert_details(
    manifest: ArtifactManifest,
    weight_K: Weights,
    contribution_KVM: Weights,
    rank_without_K: Sequence[int],
) -> list[ExpertDetail]:
    """Every expert, largest contribution first, then largest weight."""
    details = [
        ExpertDetail(
            name=spec.name,
            role=spec.role,
            modality=spec.modality,
            weight=weight,
            contribution=contribution,
            usual_weight=spec.usual_weight,
            rank_without=rank_without,
            matrix=by_modality_and_view(manifest, contribution_VM),
        )
        for spec, weight, contribution, rank_without, contribution_VM in zip(
            manifest.experts,
            plain_numbers(weight_K),
            plain_numbers(contribution_KVM.sum(axis=(1, 2))),
            rank_without_K,
            contribution_KVM,
            strict=True,
        )
    ]
    return sorted(details, key=lambda expert: (-expert["contribution"], -expert["weight"]))


def by_modality(manifest: ArtifactManifest, contribution_KVM: Weights) -> dict[str, float]:
    """What each modality adds to the score."""
    totals_M = contribution_KVM.sum(axis=(0, 1))
    return dict(zip(manifest.modalities, map(plain, totals_M.tolist()), strict=True))


def by_view(manifest: ArtifactManifest, contribution_KVM: Weights) -> dict[str, float]:
    """What each view adds to the score."""
    totals_V = contribution_KVM.sum(axis=(0, 2))
    return dict(zip(manifest.views, map(plain, totals_V.tolist()), strict=True))


def by_modality_and_view(
    manifest: ArtifactManifest, contribution_VM: Weights
) -> dict[str, dict[str, float]]:
    """What each modality adds to the score through each view, of one expert or of all together."""
    return {
        modality: dict(zip(manifest.views, map(plain, totals_V.tolist()), strict=True))
        for modality, totals_V in zip(manifest.modalities, contribution_VM.T, strict=True)
    }


def gate_entropy(weight_K: Weights) -> float:
    """Entropy of the experts' weights over log K: 0 if one decides, 1 if all have an equal say."""
    if len(weight_K) == 1:
        return 0.0
    positive = weight_K[weight_K > 0].astype(np.float64)
    return plain(max(0.0, -float((positive * np.log(positive)).sum()) / math.log(len(weight_K))))


def bias_parts(bias_N: Weights, popularity_N: NDArray[np.int64]) -> Weights:
    """Each bias in the column [N, 2] of what it is, see `BIAS_PARTS`."""
    chosen_N = popularity_N > 0
    return np.column_stack([bias_N * chosen_N, bias_N * ~chosen_N])


def largest_parts(names: Sequence[str], part_NP: NDArray[np.floating]) -> list[str]:
    """Words for the one or two largest parts of each score above zero.

    Shares are of the parts above zero, since what speaks against an item is no part of why it is
    here; the second part is named if it is at least a fifth. Of a score of zero or less, only what
    speaks against it most is named.

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
    for order, percents, mostly, has_second, speaks_for in zip(
        order_NP.tolist(),
        percent_N2.tolist(),
        (share_N2[:, 0] >= 0.5).tolist(),
        (share_N2[:, 1] >= 0.2).tolist(),
        (total_N > against_N).tolist(),
        strict=True,
    ):
        if not speaks_for:
            found.append(_against(names[order[-1]]))
            continue
        words = _first(names[order[0]], percents[0], mostly)
        found.append(words + _second(names[order[1]], percents[1]) if has_second else words)
    return found


def _against(name: str) -> str:
    return f"no more speaks for it than against it; {name} least of all"


@lru_cache(_KEPT_WORDS)
def _first(name: str, percent: int, mostly: bool) -> str:
    return f"{'mostly' if mostly else 'led by'} {name} ({percent} % of what speaks for it)"


@lru_cache(_KEPT_WORDS)
def _second(name: str, percent: int) -> str:
    return f", then {name} ({percent} %)"


def sentence_case(words: str) -> str:
    """`words` with a capital first letter, the rest as it is."""
    return words[:1].upper() + words[1:]


def history_evidence(
    item_VMD: Vectors,
    foldin_HVMD: Vectors,
    neighbourhood_H: NDArray[np.float32],
    contribution_KVM: Weights,
) -> NDArray[np.float64]:
    """What each history item adds to the score of one item [H], in points of the score.

    Ours. A score holds, per view and modality, a contribution that is proportional to the
    similarity of user and item: their cosine, plus the neighbourhood in the first of both. A user's
    direction is that of the sum of her history's weighted rows f_h, linear in its items, and so is
    her neighbourhood. The part of item h is the contribution times its share of the similarity,
    <f_h, item> / |sum of f| and its part of the neighbourhood, and the parts add up to the score
    less its bias.

    Args:
        item_VMD: rows of unit length, or zero.
        foldin_HVMD: what each item adds to the user's vector, by `ProfileMaker.taken_apart`.
        neighbourhood_H: what each item adds to the neighbourhood, by the same.
        contribution_KVM: of the pair, by the graph.
    """
    part_HVM = np.einsum("hvmd,vmd->hvm", foldin_HVMD, item_VMD, dtype=np.float64)
    length_VM = np.linalg.norm(foldin_HVMD.sum(axis=0, dtype=np.float64), axis=-1)
    part_HVM /= np.where(length_VM > 0, length_VM, 1)
    part_HVM[:, 0, 0] += neighbourhood_H
    similarity_VM = part_HVM.sum(axis=0)
    contribution_VM = contribution_KVM.sum(axis=0, dtype=np.float64)
    scale_VM = np.divide(
        contribution_VM,
        similarity_VM,
        out=np.zeros_like(contribution_VM),
        where=np.abs(similarity_VM) > 1e-6,  # below it the quotient is rounding noise
    )
    parts_H: NDArray[np.float64] = (part_HVM * scale_VM).sum(axis=(1, 2))
    return parts_H
