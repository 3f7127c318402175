"""Popular items, for those of whom nothing is known.

Knows counts and rows; knows nothing about scores.

Letters: I items.
"""

import numpy as np
from numpy.typing import NDArray

from service.eligible import Eligible
from service.ranking import Rows
from service.retrieval.retriever import Ranked


def most_popular(
    order_I: NDArray[np.integer], popularity_I: NDArray[np.int64], eligible: Eligible, count: int
) -> Ranked:
    """The most popular eligible items; the score is log(1 + interactions).

    Args:
        order_I: rows of the whole catalogue, most popular first.
        popularity_I: interactions of every item.
        eligible: which items may stand in the answer.
        count: how many.
    """
    rows: Rows = np.empty(0, dtype=np.intp)
    length = count + len(eligible.excluded)
    while len(rows) < min(count, len(eligible)):
        rows = eligible.among(order_I[:length].astype(np.intp))
        length *= 4
    best = rows[:count]
    return Ranked(best, np.log1p(popularity_I[best]).astype(np.float32))
