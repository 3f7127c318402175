"""With which items an explained one is compared to tell its rank: all, or enough of them.

Ranking one item without each expert takes every score apart. Beyond some size that is done for the
best items and for a random sample that stands for the rest, and the answer says so. Knows rows;
knows nothing about why an item is explained.

Letters: C items compared, I items.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.eligible import Eligible
from service.profile import Profile
from service.ranking import Rows
from service.retrieval.retriever import Query, Retriever

COMPARED_WITH_ALL = 50_000
"""Largest catalogue of which every item is taken apart: a tenth of a second."""
_BEST = 1_000
"""Items compared for certain: ranks among them are exact but for what the retriever misses."""
_SAMPLED = 8_192
"""Items that stand for the rest: a rank in the middle is right within some 2 % of the catalogue."""
_SEED = 0
"""The same sample for every request, so that one pair has one rank within a model version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Items that one item is ranked among, itself included."""

    rows_C: Rows
    """Ascending."""
    weight_C: NDArray[np.float64]
    """How many items each stands for."""
    is_exact: bool
    num_items: int
    """How many all of them stand for."""

    def rank(self, place: int, scores_C: NDArray[np.float32]) -> int:
        """The rank, from 1, of the item at `place`; of equals, the lower row is better."""
        better_C = scores_C > scores_C[place]
        better_C[:place] |= scores_C[:place] == scores_C[place]
        return 1 + round(float(self.weight_C[better_C].sum()))


def compared_with(
    retriever: Retriever, profile: Profile, eligible: Eligible, row: int
) -> Comparison:
    """What to rank the item at `row` among: the eligible items, and itself in any case."""
    if eligible.num_items <= COMPARED_WITH_ALL:
        rows_C = np.union1d(eligible.rows(), row)
        weight_C = np.ones(len(rows_C))
        return Comparison(rows_C=rows_C, weight_C=weight_C, is_exact=True, num_items=len(rows_C))
    best = retriever.best([Query(profile, eligible, _BEST)])[0].rows
    certain = np.union1d(best, row)
    drawn = np.random.default_rng(_SEED).choice(eligible.num_items, 2 * _SAMPLED, replace=False)
    rest = eligible.without(certain)
    sample = rest.among(drawn)[:_SAMPLED]
    rows_C = np.concatenate([certain, sample])
    weight_C = np.ones(len(rows_C))
    weight_C[len(certain) :] = len(rest) / max(1, len(sample))
    order = np.argsort(rows_C)
    return Comparison(
        rows_C=rows_C[order],
        weight_C=weight_C[order],
        is_exact=False,
        num_items=len(rest) + len(certain),
    )
