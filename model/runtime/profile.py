"""Profiles: a vector, and beside it what the history adds to single items.

Both halves go together from here to the graph, so that nothing can score one without the other.

Letters: I items, H items of a history, V views, M modalities, G = V * M channels, D dimension,
F = G * D.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model.runtime.derived import Arrays, Keep, unkept
from model.runtime.grown import Grown, GrownRows
from model.runtime.half import HalfRows, blocks, rows_of
from model.runtime.item_item import (
    NO_SCORES,
    HistoryScores,
    ItemItemModel,
    ItemItemScores,
    recency_shares,
)

Vectors = NDArray[np.float32]
History = NDArray[np.integer]
"""Item rows, oldest first."""
_LENGTHS = "lengths"
_ROUNDING, _ROUNDING_IN_HALF = 1e-5, 2e-3
"""Rows of a difference that are no longer than this are none; those of users are up to 1 long. The
second one is for fold-in rows in 16 bits, which are off by up to a two-thousandth."""


def row_lengths(vectors_NVMD: Vectors) -> Vectors:
    """The length of each row of some vectors by view and modality, in one axis [N, V * M]."""
    length_NVM: Vectors = np.sqrt(np.vecdot(vectors_NVMD, vectors_NVMD))
    return length_NVM.reshape(len(length_NVM), math.prod(length_NVM.shape[1:]))


def fold_in(foldin_HVMD: Vectors, length_HG: Vectors, share_H: Vectors) -> Vectors:
    """The user vector [V, M, D] of a history; zero where all of its rows are zero.

    As `model.network.encoder.fold_in`: its direction is what the history is about, its length how
    coherent the history is.

    Args:
        foldin_HVMD: the rows of its items.
        length_HG: their lengths, see `row_lengths`.
        share_H: what each counts for.
    """
    total_G = share_H @ length_HG
    total_G[total_G == 0] = 1
    num_items, *shape_VMD = foldin_HVMD.shape
    user_F = share_H @ foldin_HVMD.reshape(num_items, math.prod(shape_VMD))
    user_GD: Vectors = user_F.reshape(len(total_G), -1) / total_G[:, None]
    return user_GD.reshape(shape_VMD)


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """What a score needs to know of a user, of a session, or of both."""

    vector_VMD: Vectors
    item_item: ItemItemScores
    of_histories: tuple[HistoryScores, ...] = ()
    """What each history that it is made of adds to items, in the order of these."""

    def blended_with(self, session: "Profile") -> "Profile":
        """Half the user, half the session, in both parts (ours).

        The vector is the fold-in of both histories with equal totals: the more coherent side counts
        for more. Where one side is zero, the other one's direction is used.
        """
        mean_VMD = (self.vector_VMD + session.vector_VMD) / np.float32(2)
        item_item = self.item_item.mean_with(session.item_item)
        return Profile(mean_VMD, item_item, self.of_histories + session.of_histories)

    def without(self, modalities: Sequence[int]) -> "Profile":
        """As if these modalities said nothing: their similarities are 0, and what they add.

        The router decides by the similarities of the others. Behaviour, the first modality, is
        the item-item scores too.
        """
        vector_VMD = self.vector_VMD.copy()
        vector_VMD[:, modalities] = 0
        if 0 not in modalities:
            return Profile(vector_VMD, self.item_item, self.of_histories)
        return Profile(
            vector_VMD,
            NO_SCORES,
            tuple(HistoryScores.none(each.end_H) for each in self.of_histories),
        )

    def by_vector_alone(self) -> "Profile":
        """As the router sees it, which reads cosines only."""
        return Profile(self.vector_VMD, NO_SCORES)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProfileMaker:
    """Makes profiles of histories with the items of one model version."""

    foldin_IVMD: Grown
    length_IG: Grown
    """Of its rows, by view and modality."""
    item_item: ItemItemModel
    recency_power: float

    @classmethod
    def of(
        cls,
        tensors: Mapping[str, NDArray[Any]],
        *,
        recency_power: float,
        item_item_deviation: float | None,
        keep: Keep = unkept,
    ) -> Self:
        """From an artifact's tensors; ArtifactError if its item-item model is damaged.

        Args:
            tensors: by name.
            recency_power: of the manifest, as is the next.
            item_item_deviation: of the manifest.
            keep: keeps what follows from the tensors.
        """
        foldin_IVMD = rows_of(tensors["item_foldin"])

        def lengths() -> Arrays:
            return {_LENGTHS: np.concatenate([row_lengths(block) for block in blocks(foldin_IVMD)])}

        return cls(
            foldin_IVMD=foldin_IVMD,
            length_IG=keep("lengths-1", lengths)[_LENGTHS],
            item_item=ItemItemModel.of(tensors, item_item_deviation),
            recency_power=recency_power,
        )

    def grown_by(self, foldin_XVMD: Vectors) -> Self:
        """The same, and items behind those of the model; the item-item model does not know them."""
        assert not isinstance(self.foldin_IVMD, GrownRows)
        assert not isinstance(self.length_IG, GrownRows)
        return replace(
            self,
            foldin_IVMD=GrownRows(self.foldin_IVMD, foldin_XVMD),
            length_IG=GrownRows(self.length_IG, row_lengths(foldin_XVMD)),
        )

    def of_user(self, vector_VMD: Vectors, history_H: History) -> Profile:
        """Of a user of the model, whose vector was made at export: their fold-in and free part.

        Made for each request: kept in memory it would take ten times what the vector does.
        """
        scores = self.item_item.history_scores(history_H, self.recency_power)
        return Profile(vector_VMD, scores.scores, (scores,))

    def changed(self, vector_VMD: Vectors, history_H: History, now_H: History) -> Vectors:
        """The vector of a user of the model whose history has changed since it was made.

        The fold-in of the history now, and the free part: what the vector has beside the fold-in of
        the history then. So does the export make it, but for the free part, which training changes.
        """
        free_VMD = vector_VMD - self._fold_in(history_H)
        free_VMD[np.linalg.norm(free_VMD, axis=-1) < self._rounding] = 0
        return self._fold_in(now_H) + free_VMD

    @property
    def _rounding(self) -> float:
        rows = self.foldin_IVMD
        base = rows.base if isinstance(rows, GrownRows) else rows
        return _ROUNDING_IN_HALF if isinstance(base, HalfRows) else _ROUNDING

    def of_history(self, history_H: History) -> Profile:
        """Of a history alone; its vector is zero if none of its items has a fold-in row."""
        return self.of_user(self._fold_in(history_H), history_H)

    def _fold_in(self, history_H: History) -> Vectors:
        rows_HVMD, length_HG = (
            each.take(history_H, axis=0) for each in (self.foldin_IVMD, self.length_IG)
        )
        share_H = recency_shares(len(history_H), self.recency_power)
        return fold_in(rows_HVMD, length_HG, share_H)

    def of_session(self, rows_H: History) -> Profile | None:
        """Of a session, or None if its items say nothing."""
        if not len(rows_H):  # the usual request has no session, and need not pay for one
            return None
        profile = self.of_history(rows_H)
        return profile if profile.vector_VMD.any() else None
