"""What calls cost, in units: one is about the processor time of a list of ten items.

A key has a rate of them, and as many as `MAGNET_MAX_BATCH` are worked on at once.
"""

from service.schemas.requests import RecommendationRequest

ENTRIES_OF_A_UNIT = 100
"""Items of an answer, events or lines."""
IDS_OF_A_UNIT = 1000
"""Ids that a request names, or ranks that it skips."""
FULL = 2
"""Times as much work is an item that is explained in full (measured: 1.7)."""
MOST_OF_A_LIST = 200.0
"""A list may skip any number of ranks, and there are only so many items."""
EXPLANATION = 5.0
"""Of one pair, which ranks all items once for every expert."""


def of_entries(number: int) -> float:
    """Units of an answer with this many items, or of so many events or lines."""
    return number / ENTRIES_OF_A_UNIT


def of_ids(number: int) -> float:
    """Units of a request that names this many ids and is not answered item by item."""
    return number / IDS_OF_A_UNIT


def of_list(request: RecommendationRequest) -> float:
    """Units of one list: at least one."""
    told = of_entries(request.k) * (FULL if request.explain == "full" else 1)
    named = len(request.candidates or ()) + len(request.exclude) + len(request.session_items)
    return min(max(1.0, told + of_ids(request.offset + named)), MOST_OF_A_LIST)
