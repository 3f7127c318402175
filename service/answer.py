"""Ranked rows become the items of an answer, each with what speaks for it.

All items of an answer at once: arrays until the very end, then plain values. Knows the shapes of
answers; knows nothing about how rows were found.

Letters: N items shown, K experts, V views, M modalities, P parts of a score.
"""

import numpy as np

from service.explanation import (
    POPULARITY,
    active_experts,
    largest_parts,
    plain_numbers,
    sentence_case,
)
from service.plan import Plan
from service.ranking import Rows
from service.retrieval.retriever import Ranked
from service.schemas import RecommendedItem
from service.scorer import Breakdown
from service.snapshot import Snapshot


def popular_items(snapshot: Snapshot, plan: Plan, rows_N: Rows) -> list[RecommendedItem]:
    """Items that stand in where there is no taste to score."""
    popularities = snapshot.items.popularity_I[rows_N].tolist()
    items = _unexplained(snapshot, plan, rows_N, popularities, popularities)
    for item, popularity in zip(items, popularities, strict=True):
        item["reasons"] = [f"Popular: {popularity} interactions in the training data"]
    return items


def scored_items(
    snapshot: Snapshot, plan: Plan, shown: Ranked, breakdown: Breakdown | None
) -> list[RecommendedItem]:
    """Items by their scores, taken apart if there is a breakdown."""
    bias_N = snapshot.items.bias_I[shown.rows]
    scores, biases = plain_numbers(shown.scores), plain_numbers(bias_N)
    items = _unexplained(snapshot, plan, shown.rows, scores, biases)
    if breakdown is None:
        return items
    manifest, contribution_NKVM = snapshot.manifest, breakdown.contribution_CKVM
    contribution_NKM = contribution_NKVM.sum(axis=2)
    modality_NM = contribution_NKM.sum(axis=1)
    words = largest_parts(
        [*manifest.modalities, POPULARITY], np.column_stack([modality_NM, bias_N])
    )
    experts = active_experts(manifest, breakdown.weight_CK, contribution_NKM.sum(axis=2))
    by_session = plan.taste.source == "session"
    for place, item in enumerate(items):
        item["reasons"] = [sentence_case(words[place])]
        if by_session:
            item["reasons"].append("Judged by the session's items alone")
        item["experts"] = experts[place]
    if plan.request.explain == "full":
        modalities = plain_numbers(modality_NM)
        views = plain_numbers(contribution_NKVM.sum(axis=(1, 3)))
        for place, item in enumerate(items):
            item["by_modality"] = dict(zip(manifest.modalities, modalities[place], strict=True))
            item["by_view"] = dict(zip(manifest.views, views[place], strict=True))
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
