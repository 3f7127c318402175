"""Answers: lists serialised as the API gives them.

Letters: K experts.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from model.registry.records import Variant
from service.ops.metrics import Metrics
from service.recommend.answer_items import items_as_json
from service.recommend.lists import Lists
from service.schemas.responses import Source
from service.schemas.warned import told


class Answer(NamedTuple):
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
    weights: dict[int, NDArray[np.float32]] = {}
    for explained in lists.explained:
        weights |= zip(explained.places, explained.weight_BK, strict=True)
    with metrics.stage("serialise"):
        contents = [
            orjson.dumps(_fields(lists, place, orjson.Fragment(items)))
            for place, items in enumerate(items_as_json(lists))
        ]
    return [
        Answer(
            content=content,
            user_id=resolved.request.user_id,
            variant=resolved.served.variant,
            source=resolved.choice.source,
            fallback_reason=resolved.choice.fallback_reason,
            items=len(shown.rows),
            weight_K=weights.get(place),
            is_whole=not shown.warnings,
        )
        for place, (content, resolved, shown) in enumerate(
            zip(contents, lists.resolved, lists.shown, strict=True)
        )
    ]


def _fields(lists: Lists, place: int, items: orjson.Fragment) -> Mapping[str, object]:
    resolved = lists.resolved[place]
    served, choice = resolved.served, resolved.choice
    return {
        "model_version": served.snapshot.version,
        "variant": served.variant,
        "user_id": resolved.request.user_id,
        "fallback": "popular" if choice.source == "popular" else None,
        "live_events": resolved.live_events,
        **told(lists.warnings(place)),
        "left_out": None if (end := lists.ends[place]) is None else end.left_out,
        "missing_ids": resolved.missing_ids,
        "unavailable_ids": resolved.unavailable_ids,
        "items": items,
    }
