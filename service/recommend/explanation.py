"""Explanations: a score taken apart, in numbers and in words that are true to them.

Letters: B lists, N items of a list, C = B * N, P parts of a score, V views, M modalities,
G = V * M channels, K experts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.runtime.native.kernels import PartSums, kernels
from model.runtime.scorer import Breakdown
from model.runtime.top_k import Rows
from service.serving.snapshot import Snapshot

Weights = NDArray[np.float32]

BIAS_PARTS = ("popularity", "newness")
"""What the bias of a score is called: of items that somebody has chosen, and of others."""
_KEPT_WORDS = 16_384
"""Of two parts and their percentages: written once, not for every item."""


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
class Parts:
    """What adds up to the scores of some lists' items, all lists one after the other."""

    weight_CK: Weights
    expert_CK: Weights
    """What each expert adds to the scores."""
    modality_CM: Weights
    view_CV: Weights
    channel_CG: Weights
    """What each modality adds through each view."""
    largest_C: NDArray[np.int64]
    """The largest parts, to be said by `largest_words`."""
    order_CK: NDArray[np.int32]
    """The experts with a weight above zero, largest contribution first; -1 behind them."""
    names: tuple[str, ...]
    """Of the parts."""


def parts_of_lists(
    snapshot: Snapshot, rows_BN: Rows, bias_BN: Weights, breakdowns: Sequence[Breakdown]
) -> Parts:
    """Take the scores of several lists with as many items each apart."""
    items, modalities = snapshot.items, snapshot.manifest.modalities
    contribution_CKVM = np.concatenate([each.contribution_CKVM for each in breakdowns])
    weight_CK = np.concatenate([each.weight_CK for each in breakdowns])
    popularity_C = items.popularity_I.take(rows_BN.reshape(-1))
    given = weight_CK, contribution_CKVM, bias_BN.reshape(-1), popularity_C
    compiled = kernels()
    found = part_sums(*given) if compiled is None else compiled.sum_parts(*given)
    return Parts(weight_CK=weight_CK, names=(*modalities, *BIAS_PARTS), **found._asdict())


def part_sums(
    weight_CK: Weights, contribution_CKVM: Weights, bias_C: Weights, popularity_C: NDArray[np.int64]
) -> PartSums:
    """As `Kernels.sum_parts`, by numpy."""
    shape_KVM = contribution_CKVM.shape[1:]
    sums = contribution_CKVM.reshape(len(weight_CK), -1) @ _summands(*shape_KVM)
    expert_CK, view_CV, modality_CM, channel_CG = np.split(sums, np.cumsum(shape_KVM), axis=1)
    return PartSums(
        expert_CK=expert_CK,
        view_CV=view_CV,
        modality_CM=modality_CM,
        channel_CG=channel_CG,
        largest_C=largest_parts(np.column_stack([modality_CM, bias_parts(bias_C, popularity_C)])),
        order_CK=active_experts(weight_CK, expert_CK),
    )


@lru_cache
def _summands(num_experts: int, num_views: int, num_modalities: int) -> Weights:
    """Which contributions add up to each expert's, view's, modality's and channel's sum.

    One product makes all the sums, a sixth of the time of summing over the axes of an array of such
    short ones.
    """
    expert, view, modality = np.indices((num_experts, num_views, num_modalities)).reshape(3, -1)
    sizes = (num_experts, num_views, num_modalities, num_views * num_modalities)
    first, total = np.cumsum([0, *sizes[:-1]]), sum(sizes)
    columns = np.array([expert, view, modality, view * num_modalities + modality]) + first[:, None]
    unit = np.eye(total, dtype=np.float32)
    summands: Weights = unit[columns].sum(axis=0)
    return summands


def active_experts(weight_CK: Weights, contribution_CK: Weights) -> NDArray[np.int32]:
    """Of each item the experts with a weight above zero, largest contribution first; then -1."""
    is_active_CK = weight_CK > 0
    against_CK = np.where(is_active_CK, -contribution_CK, np.inf)
    order_CK = np.lexsort((-weight_CK, against_CK)).astype(np.int32)
    is_there_CK = np.arange(weight_CK.shape[1]) < is_active_CK.sum(axis=1, keepdims=True)
    return np.where(is_there_CK, order_CK, np.int32(-1))


def bias_parts(bias_N: Weights, popularity_N: NDArray[np.int64]) -> Weights:
    """Each bias in the column [N, 2] of what it is, see `BIAS_PARTS`."""
    chosen_N = popularity_N > 0
    return np.column_stack([bias_N * chosen_N, bias_N * ~chosen_N])


def largest_parts(part_NP: NDArray[np.floating]) -> NDArray[np.int64]:
    """The one or two largest parts of each score above zero, as `largest_words` says them.

    Shares are of the parts above zero, since a negative part is no reason why the item is here; the
    second part is named if it is at least a fifth. Of a score of zero or less, only the most
    negative part is named.

    Args:
        part_NP: in points of the score; two parts at least.
    """
    num_parts = part_NP.shape[1]
    order_NP = np.argsort(-part_NP, axis=1, kind="stable")
    sorted_NP = np.take_along_axis(part_NP, order_NP, axis=1)
    total_N = np.maximum(sorted_NP, 0).sum(axis=1)
    against_N = -np.minimum(sorted_NP, 0).sum(axis=1)
    share_N2 = sorted_NP[:, :2].astype(np.float64) / np.where(total_N > 0, total_N, 1)[:, None]
    has_second_N = share_N2[:, 1] >= 0.2
    percent_N2 = np.rint(100 * share_N2).astype(np.intp).clip(0, 100)
    said = (
        order_NP[:, 0],
        percent_N2[:, 0],
        share_N2[:, 0] >= 0.5,
        np.where(has_second_N, order_NP[:, 1], num_parts),
        np.where(has_second_N, percent_N2[:, 1], 0),
    )
    code_N = np.ravel_multi_index(said, _kinds(num_parts))
    return np.where(total_N > against_N, code_N, -1 - order_NP[:, -1])


def _kinds(num_parts: int) -> tuple[int, ...]:
    """First part, its percentage, whether it is half at least, second part or none, percentage."""
    return num_parts, 101, 2, num_parts + 1, 101


@lru_cache(_KEPT_WORDS)
def largest_words(names: tuple[str, ...], code: int) -> str:
    """A number of `largest_parts` in words, with the names of the parts."""
    if code < 0:
        return f"the score is not above zero; the lowest contribution is {names[-1 - code]}"
    said = []
    for size in reversed(_kinds(len(names))):
        code, number = divmod(code, size)
        said.append(number)
    of_second, second, mostly, percent, first = said
    words = "mostly" if mostly else "led by"
    words = f"{words} {names[first]} ({percent} % of the positive contributions)"
    return words if second == len(names) else f"{words}, then {names[second]} ({of_second} %)"


def sentence_case(words: str) -> str:
    """`words` with a capital first letter, the rest as it is."""
    return words[:1].upper() + words[1:]
