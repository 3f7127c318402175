"""Top-k of scores. Ties go to the lower row: pages of one list never overlap or skip an item.

Letters: C candidates.
"""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]

_SORTED_WHOLE = 256
"""So few scores are sorted at once: 2.4 us for 128, where finding a threshold first takes 6.1;
that pays from some 600 on."""


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
