"""Answers: lists told in the plain values that the API gives, and serialised.

Letters: N items of a list, K experts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from model.registry.records import Variant
from service.ops.metrics import Metrics
from service.recommend.adjustments import listed
from service.recommend.because import POPULAR, told
from service.recommend.explanation import (
    active_experts,
    largest_words,
    named,
    plain_numbers,
    sentence_case,
)
from service.recommend.lists import Explained, Lists
from service.recommend.resolution import ResolvedRequest
from service.retrieval.query import Ranked
from service.schemas.responses import Recommendation, RecommendedItem, Source

ONLY: Mapping[Source, list[str]] = {
    "session": ["Based on the session's items only"],
    "live": ["Based on the user's latest events only"],
}
"""A last reason of every item, by what a list is made from."""
PINNED = "Pinned to this rank"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A list as it is sent, and what is counted when it is given."""

    content: bytes
    """JSON of a `Recommendation`."""
    user_id: str | None
    variant: Variant
    source: Source
    fallback_reason: str | None
    items: int
    """How many it has."""
    weight_K: NDArray[np.float32] | None
    """Sum of their routing weights; None if nothing is explained."""
    is_whole: bool
    """Whether all items could be looked through."""


def answers(lists: Lists, metrics: Metrics) -> list[Answer]:
    """The answer to every request."""
    items = [_items(*each) for each in zip(lists.resolved, lists.shown, strict=True)]
    weights: dict[int, NDArray[np.float32]] = {}
    for explained in lists.explained:
        _tell_reasons(lists, explained, items)
        weights |= zip(explained.places, explained.weight_BK, strict=True)
    for resolved, shown, own in zip(lists.resolved, lists.shown, items, strict=True):
        _tell_pins(resolved, shown, own)
    return [
        _answer(lists, place, own, weights.get(place), metrics) for place, own in enumerate(items)
    ]


def _answer(
    lists: Lists,
    place: int,
    items: list[RecommendedItem],
    weight_K: NDArray[np.float32] | None,
    metrics: Metrics,
) -> Answer:
    resolved = lists.resolved[place]
    told = _told(resolved, items, lists.warnings(place))
    with metrics.stage("serialise"):
        content = orjson.dumps(told)
    return Answer(
        content=content,
        user_id=told["user_id"],
        variant=told["variant"],
        source=resolved.choice.source,
        fallback_reason=resolved.choice.fallback_reason,
        items=len(told["items"]),
        weight_K=weight_K,
        is_whole=not lists.shown[place].warnings,
    )


def _told(
    resolved: ResolvedRequest, items: list[RecommendedItem], warnings: list[str]
) -> Recommendation:
    served, choice = resolved.served, resolved.choice
    return Recommendation(
        model_version=served.snapshot.version,
        variant=served.variant,
        user_id=resolved.request.user_id,
        fallback="popular" if choice.source == "popular" else None,
        live_events=resolved.live_events,
        warnings=warnings,
        missing_ids=resolved.missing_ids,
        unavailable_ids=resolved.unavailable_ids,
        items=items,
    )


def popular_words(interactions: float) -> str:
    """Why an item is in a list of popular ones, in numbers."""
    return f"Popular: {interactions} interactions in the training data"


def _items(resolved: ResolvedRequest, shown: Ranked) -> list[RecommendedItem]:
    """The items as they are answered, without what is explained."""
    snapshot, source = resolved.served.snapshot, resolved.choice.source
    if source == "popular":
        scores: list[float] = snapshot.items.popularity_I[shown.rows].tolist()
        biases = scores
    else:
        scores = plain_numbers(shown.scores)
        biases = plain_numbers(resolved.bias(shown.rows))
    labels = map(snapshot.items.label, shown.rows.tolist())
    adjusted = listed(resolved.adjustments, shown.rows)
    items: list[RecommendedItem] = [
        {
            "item_id": item_id,
            "title": title,
            "rank": rank,
            "score": score,
            "bias": bias,
            "source": source,
            "reasons": [],
            "because": [],
            "experts": None,
            "by_modality": None,
            "by_view": None,
            "adjustments": adjustments,
        }
        for rank, ((item_id, title), score, bias, adjustments) in enumerate(
            zip(labels, scores, biases, adjusted, strict=True), resolved.request.offset + 1
        )
    ]
    for item, number in zip(items, scores, strict=True) if source == "popular" else ():
        item["reasons"] = [POPULAR, popular_words(number)]
    return items


def _tell_reasons(
    lists: Lists, explained: Explained, items: Sequence[Sequence[RecommendedItem]]
) -> None:
    """Add what adds up to the scores of some lists, and the reasons."""
    parts, size = explained.parts, len(lists.shown[explained.places[0]].rows)
    snapshot = lists.resolved[explained.places[0]].served.snapshot
    manifest = snapshot.manifest
    experts_C = active_experts(manifest, parts.weight_CK, parts.expert_CK)
    words_C = [sentence_case(largest_words(parts.names, code)) for code in parts.largest_C.tolist()]
    for number, (place, reasons) in enumerate(
        zip(explained.places, explained.reasons, strict=True)
    ):
        part = slice(number * size, (number + 1) * size)
        resolved = lists.resolved[place]
        more = ONLY.get(resolved.choice.source, [])
        for item, who, sentence, words, experts in zip(
            items[place], *told(snapshot, reasons), words_C[part], experts_C[part], strict=True
        ):
            item["reasons"], item["because"] = [sentence, words, *more], who
            item["experts"] = experts
        if resolved.request.explain == "full":
            modality_NM, view_NV = parts.modality_CM[part].tolist(), parts.view_CV[part].tolist()
            for item, modality_M, view_V in zip(items[place], modality_NM, view_NV, strict=True):
                item["by_modality"] = named(manifest.modalities, modality_M)
                item["by_view"] = named(manifest.views, view_V)


def _tell_pins(resolved: ResolvedRequest, shown: Ranked, items: Sequence[RecommendedItem]) -> None:
    pinned_rows = {pin.row for pin in resolved.pins}
    for item, row in zip(items, shown.rows.tolist(), strict=True):
        if row in pinned_rows:
            item["reasons"] = [*item["reasons"], PINNED]
