"""A score taken apart, in numbers and in words that are true to them.

Pure: numbers in, parts of an answer out. Knows nothing about where scores come from.

Letters: H history length, V views, M modalities, D dimension, K experts, A active experts.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model.contract.manifest import ArtifactManifest, ExpertSpec
from service.foldin import Vectors
from service.schemas import ExpertContribution, ExpertDetail

POPULARITY = "popularity"
"""What the bias of a score is called in a sentence."""

Weights = NDArray[np.float32]


def plain(number: float) -> float:
    """A float32 as a short decimal: seven places, as many as it has."""
    return round(float(number), 7)


def active_experts(
    manifest: ArtifactManifest, weight_K: Weights, contribution_KVM: Weights
) -> list[ExpertContribution]:
    """The experts with a weight above zero, largest contribution first."""
    active_A = np.flatnonzero(weight_K > 0)
    specs = [manifest.experts[expert] for expert in active_A]
    experts = _contributions(specs, weight_K[active_A], contribution_KVM[active_A])
    return sorted(experts, key=_largest_first)


def expert_details(
    manifest: ArtifactManifest,
    weight_K: Weights,
    contribution_KVM: Weights,
    rank_without_K: Sequence[int],
) -> list[ExpertDetail]:
    """Every expert, largest contribution first, then largest weight."""
    details = [
        ExpertDetail(
            **expert.model_dump(), usual_weight=spec.usual_weight, rank_without=rank_without
        )
        for expert, spec, rank_without in zip(
            _contributions(manifest.experts, weight_K, contribution_KVM),
            manifest.experts,
            rank_without_K,
            strict=True,
        )
    ]
    return sorted(details, key=_largest_first)


def _contributions(
    specs: Sequence[ExpertSpec], weight_K: Weights, contribution_KVM: Weights
) -> list[ExpertContribution]:
    """Those experts, in their order."""
    weights, contributions = weight_K.tolist(), contribution_KVM.sum(axis=(1, 2)).tolist()
    return [
        ExpertContribution(
            name=expert.name,
            role=expert.role,
            modality=expert.modality,
            weight=plain(weight),
            contribution=plain(contribution),
        )
        for expert, weight, contribution in zip(specs, weights, contributions, strict=True)
    ]


def _largest_first(expert: ExpertContribution) -> tuple[float, float]:
    return -expert.contribution, -expert.weight


def by_modality(manifest: ArtifactManifest, contribution_KVM: Weights) -> dict[str, float]:
    """What each modality adds to the score."""
    totals_M = contribution_KVM.sum(axis=(0, 1))
    return dict(zip(manifest.modalities, map(plain, totals_M.tolist()), strict=True))


def by_view(manifest: ArtifactManifest, contribution_KVM: Weights) -> dict[str, float]:
    """What each view adds to the score."""
    totals_V = contribution_KVM.sum(axis=(0, 2))
    return dict(zip(manifest.views, map(plain, totals_V.tolist()), strict=True))


def by_modality_and_view(
    manifest: ArtifactManifest, contribution_KVM: Weights
) -> dict[str, dict[str, float]]:
    """What each modality adds to the score through each view."""
    totals_MV = contribution_KVM.sum(axis=0).T
    return {
        modality: dict(zip(manifest.views, map(plain, totals_V.tolist()), strict=True))
        for modality, totals_V in zip(manifest.modalities, totals_MV, strict=True)
    }


def gate_entropy(weight_K: Weights) -> float:
    """Entropy of the experts' weights over log K: 0 if one decides, 1 if all have an equal say."""
    if len(weight_K) == 1:
        return 0.0
    positive = weight_K[weight_K > 0].astype(np.float64)
    return plain(max(0.0, -float((positive * np.log(positive)).sum()) / math.log(len(weight_K))))


def largest_parts(modalities: Mapping[str, float], bias: float) -> str:
    """Words for the one or two largest parts of a score above zero.

    Shares are of the parts above zero, since what speaks against an item is no part of why it is
    here; the second part is named if it is at least a fifth. Of a score of zero or less, only what
    speaks against it most is named.
    """
    parts = sorted({**modalities, POPULARITY: bias}.items(), key=lambda part: -part[1])
    total = sum(part for _, part in parts if part > 0)
    (first, largest), *rest = parts
    if total <= -sum(part for _, part in parts if part < 0):
        return f"no more speaks for it than against it; {parts[-1][0]} least of all"
    words = "mostly" if largest >= total / 2 else "led by"
    words += f" {first} ({100 * largest / total:.0f} % of what speaks for it)"
    second, next_largest = rest[0]
    if next_largest >= total / 5:
        words += f", then {second} ({100 * next_largest / total:.0f} %)"
    return words


def sentence_case(words: str) -> str:
    """`words` with a capital first letter, the rest as it is."""
    return words[:1].upper() + words[1:]


def history_evidence(
    item_VMD: Vectors, foldin_HVMD: Vectors, contribution_KVM: Weights
) -> NDArray[np.float64]:
    """What each history item adds to the score of one item [H], in points of the score.

    Ours. A score holds, per view and modality, a contribution that is proportional to the cosine of
    user and item. A user's direction is that of the sum of her history's weighted rows f_h
    (`foldin.history_rows`), linear in its items: the part of item h is the contribution times
    <f_h, item> / <sum_h(f_h), item>, and the parts add up to the score less its bias.
    """
    part_HVM = np.einsum("hvmd,vmd->hvm", foldin_HVMD, item_VMD, dtype=np.float64)
    similarity_VM = part_HVM.sum(axis=0)
    length_VM = np.linalg.norm(foldin_HVMD.sum(axis=0, dtype=np.float64), axis=-1)
    contribution_VM = contribution_KVM.sum(axis=0, dtype=np.float64)
    scale_VM = np.divide(
        contribution_VM,
        similarity_VM,
        out=np.zeros_like(contribution_VM),
        where=np.abs(similarity_VM) > 1e-6 * length_VM,  # below it the quotient is rounding noise
    )
    parts_H: NDArray[np.float64] = (part_HVM * scale_VM).sum(axis=(1, 2))
    return parts_H
