"""Top-k of scores over eligible items: pure numpy, deterministic.

Ties go to the lower row, so that pages of one list never overlap and never skip an item.

Letters: I items of the catalogue, C candidates.
"""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]

_SORTED_WHOLE = 256
"""So few scores are sorted at once: 2.4 us for 128, where finding a threshold first takes 6.1;
that pays from some 600 on."""


def eligible_rows(num_items: int, excluded: Rows, *only: Rows) -> Rows:
    """Rows that stand in each of `only` and not in `excluded`, ascending and distinct."""
    allowed_I = np.ones(num_items, dtype=np.bool_)
    for rows in only:
        listed_I = np.zeros(num_items, dtype=np.bool_)
        listed_I[rows] = True
        allowed_I &= listed_I
    allowed_I[excluded] = False
    return np.flatnonzero(allowed_I)


def top_places(scores_C: NDArray[np.floating], offset: int, k: int) -> Rows:
    """Places in `scores_C` of ranks offset + 1 to offset + k, best first; fewer if C ends."""
    stop = min(offset + k, len(scores_C))
    if offset >= stop:
        return np.empty(0, dtype=np.intp)
    if len(scores_C) <= _SORTED_WHOLE:
        return np.argsort(-scores_C, kind="stable")[offset:stop]
    threshold = np.partition(scores_C, len(scores_C) - stop)[len(scores_C) - stop]
    above = np.flatnonzero(scores_C > threshold)
    tied = np.flatnonzero(scores_C == threshold)[: stop - len(above)]
    places = np.concatenate([above, tied])
    return places[np.argsort(-scores_C[places], kind="stable")][offset:]


def rank_of(place: int, scores_C: NDArray[np.float32]) -> int:
    """The rank, from 1, that `top_places` gives to `place`."""
    mine = scores_C[place]
    better = np.count_nonzero(scores_C > mine)
    return int(better + np.count_nonzero(scores_C[:place] == mine)) + 1
