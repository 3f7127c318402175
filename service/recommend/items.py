"""Ranked rows become the items of an answer, each with what speaks for it.

All items at once: arrays until the very end, then plain values. Knows the shapes of answers; knows
nothing about how rows were found.

Letters: B answers, N items shown, C = B * N, K experts, V views, M modalities, P parts of a score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from model.runtime.scorer import Breakdown
from model.runtime.top_k import Rows
from service.recommend.context import Plan
from service.recommend.explanation import (
    BIAS_PARTS,
    Weights,
    active_experts,
    bias_parts,
    largest_parts,
    plain_numbers,
    sentence_case,
)
from service.retrieval.query import Ranked
from service.schemas.responses import ExpertContribution, RecommendedItem
from service.serving.snapshot import Snapshot


def popular_items(snapshot: Snapshot, plan: Plan, rows_N: Rows) -> list[RecommendedItem]:
    """Items that stand in where there is no taste to score."""
    popularities = snapshot.items.popularity_I[rows_N].tolist()
    items = _items(snapshot, plan, rows_N, popularities, popularities)
    for item, popularity in zip(items, popularities, strict=True):
        item["reasons"] = [f"Popular: {popularity} interactions in the training data"]
    return items


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What speaks for the items of one answer."""

    words: list[str]
    experts: list[list[ExpertContribution]]
    modality_NM: Weights
    """What each modality adds to the scores."""
    view_NV: Weights


def parts_of(snapshot: Snapshot, rows_BN: Rows, breakdowns: Sequence[Breakdown]) -> list[Parts]:
    """Of several answers with as many items each."""
    manifest, items = snapshot.manifest, snapshot.items
    contribution_CKVM = np.concatenate([each.contribution_CKVM for each in breakdowns])
    weight_CK = np.concatenate([each.weight_CK for each in breakdowns])
    num_items, shape_KVM = rows_BN.shape[1], contribution_CKVM.shape[1:]
    sums = contribution_CKVM.reshape(len(weight_CK), -1) @ _summands(*shape_KVM)
    expert_CK, view_CV, modality_CM = np.split(sums, np.cumsum(shape_KVM[:-1]), axis=1)
    rows_C = rows_BN.reshape(-1)
    bias_C2 = bias_parts(items.bias_I[rows_C], items.popularity_I[rows_C])
    words = largest_parts(
        [*manifest.modalities, *BIAS_PARTS], np.column_stack([modality_CM, bias_C2])
    )
    experts = active_experts(manifest, weight_CK, expert_CK)
    return [
        Parts(
            words=words[start : start + num_items],
            experts=experts[start : start + num_items],
            modality_NM=modality_CM[start : start + num_items],
            view_NV=view_CV[start : start + num_items],
        )
        for start in range(0, len(words), num_items)
    ]


@lru_cache
def _summands(num_experts: int, num_views: int, num_modalities: int) -> Weights:
    """Which contributions add up to each expert's, view's and modality's [K * V * M, K + V + M].

    One product makes all the sums, a sixth of the time of summing over the axes of an array of such
    short ones.
    """
    num_all = num_experts * num_views * num_modalities
    expert, view, modality = np.unravel_index(
        np.arange(num_all), (num_experts, num_views, num_modalities)
    )
    summands = np.zeros((num_all, num_experts + num_views + num_modalities), dtype=np.float32)
    for column in (expert, num_experts + view, num_experts + num_views + modality):
        summands[np.arange(num_all), column] = 1
    return summands


def scored_items(
    snapshot: Snapshot, plan: Plan, shown: Ranked, parts: Parts | None
) -> list[RecommendedItem]:
    """Items by their scores, with what speaks for them if that is told."""
    scores = plain_numbers(shown.scores)
    biases = plain_numbers(snapshot.items.bias_I[shown.rows])
    if parts is None:
        return _items(snapshot, plan, shown.rows, scores, biases)
    more = ["Judged by the session's items alone"] if plan.taste.source == "session" else []
    reasons = [[sentence_case(words), *more] for words in parts.words]
    items = _items(snapshot, plan, shown.rows, scores, biases)
    for item, because, experts in zip(items, reasons, parts.experts, strict=True):
        item["reasons"], item["experts"] = because, experts
    if plan.request.explain == "full":
        manifest = snapshot.manifest
        modalities, views = plain_numbers(parts.modality_NM), plain_numbers(parts.view_NV)
        for item, modality_M, view_V in zip(items, modalities, views, strict=True):
            item["by_modality"] = dict(zip(manifest.modalities, modality_M, strict=True))
            item["by_view"] = dict(zip(manifest.views, view_V, strict=True))
    return items


def _items(
    snapshot: Snapshot, plan: Plan, rows_N: Rows, scores: list[float], biases: list[float]
) -> list[RecommendedItem]:
    """Nothing said yet of what speaks for them."""
    source = plan.taste.source
    labels = map(snapshot.items.label, rows_N.tolist())
    ranks = range(plan.request.offset + 1, plan.request.offset + len(rows_N) + 1)
    return [
        {
            "item_id": item_id,
            "title": title,
            "rank": rank,
            "score": score,
            "bias": bias,
            "source": source,
            "reasons": [],
            "experts": None,
            "by_modality": None,
            "by_view": None,
        }
        for rank, (item_id, title), score, bias in zip(ranks, labels, scores, biases, strict=True)
    ]
