"""The approximate first stage: one inner product stands for the mixture, what it finds is routed.

A user's mean gate over well-known items, folded into her vectors, makes every score nearly linear
in the item's vectors, which an index searches without looking at most of them. An item that only
her neighbourhood lifts is no near one: those with the most of it are candidates too. Knows nothing
about ids.

Letters: C candidates, V views, M modalities, G = V * M channels, D dimension, F = G * D.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.eligible import Eligible
from service.profile import Profile
from service.ranking import Rows
from service.retrieval.cosines import channels, cosines, unit_channels
from service.retrieval.exact import ExactRetriever
from service.retrieval.faiss_index import FaissIndex
from service.retrieval.retriever import Query, Ranked
from service.scorer import OnnxScorer

Floats = NDArray[np.float32]

STAGES = ((50, 256), (500, 2048))
"""Ranks up to the first number are those of the best among so many candidates of the index, and at
most as many of the neighbourhood. Each stage leaves out what the ones before it have listed, so
that a page does not depend on where others begin. Later ranks are exact. On grown models 200
candidates hold the whole top 20 (docs/benchmarks.md)."""
ROUTED_DIRECTLY = 16_384
"""So few eligible items are all routed: 2 ms, and no cluster can be missed."""
_ANCHORS = 64
"""Items over which a user's mean gate is taken: the most popular, likely to be in a list."""


class ApproximateRetriever:
    """Finds nearly the best items of one large model version; safe to share by threads."""

    name: Literal["approximate"] = "approximate"

    def __init__(
        self,
        exact: ExactRetriever,
        index: FaissIndex,
        scorer: OnnxScorer,
        *,
        items_IVMD: Floats,
        popular_order_I: NDArray[np.int32],
    ) -> None:
        """The index is of these items; `popular_order_I` has rows, most popular first."""
        self._exact = exact
        self._index = index
        self._scorer = scorer
        self._anchor_rows = popular_order_I[:_ANCHORS].astype(np.intp)
        anchor_GCD = channels(items_IVMD[self._anchor_rows])
        self._anchor_GDC = np.ascontiguousarray(anchor_GCD.transpose(0, 2, 1))

    def best(self, queries: Sequence[Query]) -> list[Ranked]:
        """Nearly the best items of every query, in the order of their exact scores."""
        return [self._best(query) for query in queries]

    def _best(self, query: Query) -> Ranked:
        if len(query.eligible) <= ROUTED_DIRECTLY:
            return self._exact.best([query])[0]
        linear_F = self._linear(query.profile)
        found = Ranked(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.float32))
        for last_rank, num_candidates in STAGES:
            wanted = last_rank - len(found.rows)
            eligible = query.eligible.without(found.rows)
            rows_C = np.union1d(
                self._candidates(linear_F, eligible, num_candidates),
                self._neighbours(query.profile, eligible, num_candidates),
            )
            if len(rows_C) < wanted:
                break
            scores_C = self._scorer.score(query.profile, rows_C)
            found = found.then(Ranked.of(rows_C, scores_C, wanted))
            if query.count <= last_rank:
                return found.first(query.count)
        rest = query.eligible.without(found.rows)
        count = query.count - len(found.rows)
        return found.then(self._exact.best([Query(query.profile, rest, count)])[0])

    def _candidates(self, linear_F: Floats, eligible: Eligible, count: int) -> Rows:
        if eligible.only is None and len(eligible.excluded) <= count:
            return eligible.among(self._index.nearest(linear_F, count + len(eligible.excluded)))
        return self._index.nearest(linear_F, count, eligible.mask_I)

    def _neighbours(self, profile: Profile, eligible: Eligible, count: int) -> Rows:
        some_out = count + len(eligible.excluded)
        rows = eligible.num_items if eligible.only is not None else some_out
        return eligible.among(profile.neighbourhood.largest(rows))[:count]

    def _linear(self, profile: Profile) -> Floats:
        """The user's unit rows, each times what it counts for in her scores [F].

        A contribution is gate times cosine, and the gate differs by item: what is taken is the
        least-squares slope of contributions over cosines, neither with a neighbourhood in it.
        """
        user_G1D = unit_channels(profile.vector_VMD[None])
        cosine_GC = cosines(user_G1D, self._anchor_GDC)[:, 0]
        breakdown = self._scorer.explain(profile.by_vector_alone(), self._anchor_rows)
        contribution_CVM = breakdown.contribution_CKVM.sum(axis=1)
        contribution_GC = contribution_CVM.reshape(len(self._anchor_rows), -1).T
        slope_G = (contribution_GC * cosine_GC).sum(axis=1)
        slope_G /= np.maximum((cosine_GC**2).sum(axis=1), np.float32(1e-9))
        linear_GD = user_G1D[:, 0] * np.maximum(slope_G, 0)[:, None]
        linear_F: Floats = linear_GD.reshape(-1)
        return linear_F
