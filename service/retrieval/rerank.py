"""Other orders than that of the scores: by popularity, and with less alike items side by side.

Letters: I items, P items of the pool, F width of an item's vectors side by side.
"""

import numpy as np
from numpy.typing import NDArray

from model.runtime.top_k import Rows
from service.retrieval.query import Eligible, Ranked


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


POOL = 500
"""So many of the best items are put in a new order, the same for every page of a list."""


def diversified(
    score_P: NDArray[np.floating], vector_PF: NDArray[np.float32], diversity: float, wanted: int
) -> NDArray[np.intp]:
    """Places of the best `wanted` items by maximal marginal relevance; fewer if the pool ends.

    Ref: Carbonell and Goldstein, The Use of MMR, SIGIR 1998. Each is the one with the highest
    (1 - diversity) * relevance - diversity * similarity. Relevance is the score, scaled to 0 for
    the least of the pool and 1 for the most. Similarity is the cosine with the most similar item
    already chosen. Of equals, the first.

    Args:
        score_P: best first.
        vector_PF: zero rows are similar to nothing.
        diversity: 0 keeps the order, 1 looks at similarity alone.
        wanted: length of the list.
    """
    spread = float(score_P[0] - score_P[-1]) if len(score_P) else 0.0
    relevance_P = (score_P - score_P[-1:]) / spread if spread > 0 else np.zeros(len(score_P))
    length_P1 = np.linalg.norm(vector_PF, axis=1, keepdims=True)
    unit_PF = vector_PF / np.maximum(length_P1, np.float32(1e-12))
    similarity_P = np.full(len(score_P), -1.0)
    open_P = np.ones(len(score_P), dtype=np.bool_)
    chosen: list[int] = []
    for _ in range(min(wanted, len(score_P))):
        likeness_P = similarity_P if chosen else np.zeros(len(score_P))
        value_P = (1 - diversity) * relevance_P - diversity * likeness_P
        best = int(np.argmax(np.where(open_P, value_P, -np.inf)))
        chosen.append(best)
        open_P[best] = False
        np.maximum(similarity_P, unit_PF @ unit_PF[best], out=similarity_P)
    return np.array(chosen, dtype=np.intp)
