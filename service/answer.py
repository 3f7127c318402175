"""Ranked rows become the items of an answer, each with what speaks for it.

Knows the shapes of answers; knows nothing about how rows were found.

Letters: N items shown, K experts, V views, M modalities.
"""

from service.explanation import (
    active_experts,
    by_modality,
    by_view,
    largest_parts,
    plain,
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
    items: list[RecommendedItem] = []
    for place, row in enumerate(rows_N):
        popularity = int(snapshot.items.popularity_I[row])
        items.append(
            RecommendedItem(
                item_id=snapshot.items.ids[row],
                title=snapshot.items.title(row),
                rank=plan.request.offset + place + 1,
                score=popularity,
                bias=popularity,
                source="popular",
                reasons=[f"Popular: {popularity} interactions in the training data"],
                experts=None,
            )
        )
    return items


def scored_items(
    snapshot: Snapshot, plan: Plan, shown: Ranked, breakdown: Breakdown | None
) -> list[RecommendedItem]:
    """Items by their scores, taken apart if there is a breakdown."""
    items: list[RecommendedItem] = []
    for place, (row, score) in enumerate(zip(shown.rows, shown.scores, strict=True)):
        item = RecommendedItem(
            item_id=snapshot.items.ids[row],
            title=snapshot.items.title(row),
            rank=plan.request.offset + place + 1,
            score=plain(score),
            bias=plain(snapshot.items.bias_I[row]),
            source=plan.taste.source,
            reasons=[],
            experts=None,
        )
        if breakdown is not None:
            item = _explained(snapshot, item, breakdown, place, full=plan.request.explain == "full")
        items.append(item)
    return items


def _explained(
    snapshot: Snapshot, item: RecommendedItem, breakdown: Breakdown, place: int, *, full: bool
) -> RecommendedItem:
    manifest = snapshot.manifest
    contribution_KVM = breakdown.contribution_CKVM[place]
    modalities = by_modality(manifest, contribution_KVM)
    reasons = [sentence_case(largest_parts(modalities, item.bias))]
    if item.source == "session":
        reasons.append("Judged by the session's items alone")
    return item.model_copy(
        update={
            "reasons": reasons,
            "experts": active_experts(manifest, breakdown.weight_CK[place], contribution_KVM),
            "by_modality": modalities if full else None,
            "by_view": by_view(manifest, contribution_KVM) if full else None,
        }
    )
