"""Ranked rows become the items of an answer, each with what speaks for it.

All items at once: arrays until the very end, then plain values. Knows the shapes of answers; knows
nothing about how rows were found.

Letters: B answers, N items shown, C = B * N, K experts, V views, M modalities, P parts of a score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.contract.manifest import ArtifactManifest
from service.explanation import (
    POPULARITY,
    Weights,
    active_experts,
    largest_parts,
    plain_numbers,
    sentence_case,
)
from service.plan import Plan
from service.ranking import Rows
from service.retrieval.retriever import Ranked
from service.schemas import ExpertContribution, RecommendedItem
from service.scorer import Breakdown
from service.snapshot import Snapshot


def popular_items(snapshot: Snapshot, plan: Plan, rows_N: Rows) -> list[RecommendedItem]:
    """Items that stand in where there is no taste to score."""
    popularities = snapshot.items.popularity_I[rows_N].tolist()
    items = _unexplained(snapshot, plan, rows_N, popularities, popularities)
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


def parts_of(
    manifest: ArtifactManifest, bias_BN: Weights, breakdowns: Sequence[Breakdown]
) -> list[Parts]:
    """Of several answers with as many items each."""
    contribution_CKVM = np.concatenate([each.contribution_CKVM for each in breakdowns])
    weight_CK = np.concatenate([each.weight_CK for each in breakdowns])
    contribution_CKM = contribution_CKVM.sum(axis=2)
    modality_CM = contribution_CKM.sum(axis=1)
    view_CV = contribution_CKVM.sum(axis=(1, 3))
    part_CP = np.column_stack([modality_CM, bias_BN.reshape(-1)])
    words = largest_parts([*manifest.modalities, POPULARITY], part_CP)
    experts = active_experts(manifest, weight_CK, contribution_CKM.sum(axis=2))
    num_items = bias_BN.shape[1]
    return [
        Parts(
            words=words[start : start + num_items],
            experts=experts[start : start + num_items],
            modality_NM=modality_CM[start : start + num_items],
            view_NV=view_CV[start : start + num_items],
        )
        for start in range(0, len(words), num_items)
    ]


def scored_items(
    snapshot: Snapshot, plan: Plan, shown: Ranked, parts: Parts | None
) -> list[RecommendedItem]:
    """Items by their scores, with what speaks for them if that is told."""
    scores = plain_numbers(shown.scores)
    biases = plain_numbers(snapshot.items.bias_I[shown.rows])
    items = _unexplained(snapshot, plan, shown.rows, scores, biases)
    if parts is None:
        return items
    more = ["Judged by the session's items alone"] if plan.taste.source == "session" else []
    for item, words, experts in zip(items, parts.words, parts.experts, strict=True):
        item["reasons"] = [sentence_case(words), *more]
        item["experts"] = experts
    if plan.request.explain == "full":
        manifest = snapshot.manifest
        modalities, views = plain_numbers(parts.modality_NM), plain_numbers(parts.view_NV)
        for item, modality_M, view_V in zip(items, modalities, views, strict=True):
            item["by_modality"] = dict(zip(manifest.modalities, modality_M, strict=True))
            item["by_view"] = dict(zip(manifest.views, view_V, strict=True))
    return items


def _unexplained(
    snapshot: Snapshot, plan: Plan, rows_N: Rows, scores: list[float], biases: list[float]
) -> list[RecommendedItem]:
    label, source, rank = snapshot.items.label, plan.taste.source, plan.request.offset
    items: list[RecommendedItem] = []
    for row, score, bias in zip(rows_N.tolist(), scores, biases, strict=True):
        rank += 1
        item_id, title = label(row)
        items.append(
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
        )
    return items
