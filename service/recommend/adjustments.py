"""Adjustments: points that rules and dislikes add to the scores of items.

Letters: I items, N items shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.runtime.top_k import Rows
from service.retrieval.query import Floats
from service.schemas.responses import Adjustment, AdjustmentKind


@dataclass(frozen=True, slots=True)
class ItemPoints:
    """One reason to raise or lower some items."""

    kind: AdjustmentKind
    name: str
    """What it is called in answers."""
    points_I: Floats
    """Of every item, 0 for those that it does not concern."""


def sum_of_points(
    adjustments: Sequence[ItemPoints], popular_I: Floats | None = None
) -> Floats | None:
    """All points of every item together, and what popularity says more; None if there are none."""
    total_I = popular_I
    for each in adjustments:
        total_I = each.points_I if total_I is None else total_I + each.points_I
    return total_I


def listed(adjustments: Sequence[ItemPoints], rows_N: Rows) -> list[list[Adjustment]]:
    """What each of some items is adjusted by, in the order of the adjustments."""
    lists: list[list[Adjustment]] = [[] for _ in rows_N]
    for each in adjustments:
        points_N = each.points_I[rows_N]
        for place in np.flatnonzero(points_N).tolist():
            points = round(float(points_N[place]), 7)
            lists[place].append({"kind": each.kind, "name": each.name, "points": points})
    return lists
