"""Dislikes: what a user has turned down pushes items like it down."""

from collections.abc import Sequence

import numpy as np

from service.recommend.adjustments import ItemPoints
from service.recommend.live import LiveItems
from service.serving.snapshot import Snapshot

STRENGTH = 0.2
"""Points that a dislike takes from an item just like it, as a share of `OnnxScorer.reach`, what a
pair gets where every similarity is 1. Rocchio's feedback weighs what is not wanted by 0.15 where it
weighs what is wanted by 0.75 (Manning et al., Introduction to Information Retrieval, 9.1.1)."""
MAX_DISLIKES = 10
"""The latest; older ones only leave their items out."""


def of_dislikes(snapshot: Snapshot, live: LiveItems) -> Sequence[ItemPoints]:
    """What each of a user's latest dislikes takes from items, named by the title of its item."""
    factor = np.float32(-STRENGTH * snapshot.reach)
    return [
        ItemPoints(
            "dislike",
            label.title or label.item_id,
            factor * snapshot.likeness.to(row, snapshot.items.embeddings_IVMD),
        )
        for row in live.disliked[:MAX_DISLIKES].tolist()
        for label in [snapshot.items.label(row)]
    ]
