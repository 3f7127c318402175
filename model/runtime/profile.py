"""Whose taste is scored: a vector, and beside it what the history says for single items.

Both halves go together from here to the graph, so that nothing can score one without the other.
Knows rows; knows nothing about ids, stores or scores.

Letters: I items, H items of a history, V views, M modalities, D dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.runtime.fold_in import Rows, Vectors, blend, fold_in, history_rows, of_equal_total
from model.runtime.item_item import NOTHING, Neighbourhood, NeighbourhoodMatrix


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """What a score needs to know of a user, of a session, or of both."""

    vector_VMD: Vectors
    neighbourhood: Neighbourhood

    def blended_with(self, session: "Profile") -> "Profile":
        """Half the user, half the session, in both parts."""
        return Profile(
            blend(self.vector_VMD, session.vector_VMD),
            self.neighbourhood.mean_with(session.neighbourhood),
        )

    def by_vector_alone(self) -> "Profile":
        """As the router sees it, which reads cosines only."""
        return Profile(self.vector_VMD, NOTHING)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProfileMaker:
    """Makes profiles of histories, oldest first, with the items of one model version."""

    foldin_IVMD: Vectors
    neighbourhoods: NeighbourhoodMatrix
    recency_power: float

    def of_user(self, vector_VMD: Vectors, history_H: Rows) -> Profile:
        """Of a user of the model, whose vector has been folded in at export.

        Made for each request: ten thousand users in memory would hold ten times what their vectors
        do.
        """
        return Profile(vector_VMD, self.neighbourhoods.of_history(history_H, self.recency_power))

    def of_session(self, rows_H: Rows) -> Profile | None:
        """Of a session, or None if its items say nothing."""
        if not len(rows_H):  # the usual request has no session, and need not pay for one
            return None
        vector_VMD = fold_in(history_rows(self.foldin_IVMD, rows_H, self.recency_power))
        return None if vector_VMD is None else self.of_user(vector_VMD, rows_H)

    def taken_apart(
        self, histories: Sequence[Rows], row: int
    ) -> tuple[Vectors, NDArray[np.float32]]:
        """What each item of some histories with an equal say adds to both halves of a profile.

        Rows [H, V, M, D] whose sum points where the vector does, and parts [H] of the neighbourhood
        of the item at `row`.
        """
        power = self.recency_power
        vectors = [of_equal_total(history_rows(self.foldin_IVMD, h, power)) for h in histories]
        parts = [self.neighbourhoods.parts(h, power, row) / len(histories) for h in histories]
        return np.concatenate(vectors), np.concatenate(parts).astype(np.float32)
