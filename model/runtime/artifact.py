"""An artifact with behaviour: profiles of its users, their scores, their best items, golden pairs.

The service does the same with users that come from Redis: `ProfileMaker` and `OnnxScorer` are its
parts of this. Golden pairs are scores recorded at export, which every loader must reproduce.

Letters: B users, I items, C golden items, K places of a list (of golden pairs: experts), H items of
a history.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model.artifact.files import Artifact, ArtifactError
from model.artifact.manifest import Golden
from model.runtime.profile import Profile, ProfileMaker
from model.runtime.scorer import OnnxScorer
from model.runtime.top_k import Rows, top_places

TOLERANCE = 1e-4
"""Float32 sums on another CPU differ by some 1e-6; those of a wrong file by far more."""


@dataclass(frozen=True, slots=True, eq=False)
class ArtifactScorer:
    """Whatever can be asked of an artifact in memory."""

    tensors: Mapping[str, NDArray[Any]]
    scorer: OnnxScorer
    profiles: ProfileMaker

    @classmethod
    def of(cls, artifact: Artifact) -> Self:
        """Of a whole artifact; ArtifactError if a part of it cannot be used."""
        return cls.of_parts(
            artifact.tensors,
            artifact.files,
            recency_power=artifact.manifest.recency_power,
            item_item_deviation=artifact.manifest.item_item_deviation,
        )

    @classmethod
    def of_parts(
        cls,
        tensors: Mapping[str, NDArray[Any]],
        files: Mapping[str, bytes],
        *,
        recency_power: float,
        item_item_deviation: float | None,
    ) -> Self:
        """Of what an artifact is going to hold, before it has a manifest."""
        profiles = ProfileMaker.of(
            tensors, recency_power=recency_power, item_item_deviation=item_item_deviation
        )
        return cls(tensors, OnnxScorer(files, tensors), profiles)

    def seen(self, user: int) -> NDArray[np.int32]:
        """Rows of all items that a user has had."""
        first, stop = self.tensors["seen_offsets"][user : user + 2]
        return np.asarray(self.tensors["seen_items"][first:stop])

    def history(self, user: int) -> NDArray[np.int32]:
        """Rows of the items that make a user's vector, oldest first."""
        return self.seen(user)[: self.tensors["history_lengths"][user]]

    def user(self, user: int) -> Profile:
        """The profile of a user, as it is served."""
        vector_VMD = np.asarray(self.tensors["user_embeddings"][user])
        return self.profiles.of_user(vector_VMD, self.history(user))

    def top(
        self, profiles: Sequence[Profile], count: int, excluded: Sequence[NDArray[np.integer]]
    ) -> Rows:
        """The best items of each profile [B, K], best first; of equal scores, the lower row first.

        Args:
            profiles: all of them are scored at once [B, I].
            count: K, at most I.
            excluded: rows that each profile's list leaves out until nothing else is left.
        """
        score_BI = self.scorer.score_all(profiles)
        for score_I, rows in zip(score_BI, excluded, strict=True):
            score_I[rows] = -np.inf
        return np.stack([top_places(score_I, 0, count) for score_I in score_BI])


class GoldenMismatch(ArtifactError):
    """The model loads, but does not compute what it computed at export."""


def record_golden(
    scorer: OnnxScorer,
    profiles: Sequence[Profile],
    user_rows: Sequence[int],
    item_rows: Sequence[int],
) -> Golden:
    """What some users' profiles, in the order of `user_rows`, get for some items."""
    rows_C = np.array(item_rows, dtype=np.intp)
    return Golden(
        user_rows=list(user_rows),
        item_rows=list(item_rows),
        scores=[scorer.score(profile, rows_C).tolist() for profile in profiles],
        contributions=[scorer.by_expert(profile, rows_C).tolist() for profile in profiles],
    )


def check_golden(golden: Golden, scorer: OnnxScorer, profiles: Sequence[Profile | None]) -> None:
    """Compute the golden pairs again; GoldenMismatch names the first user who differs.

    Users who have been erased since have no profile, and are left out.
    """
    rows_C = np.array(golden.item_rows, dtype=np.intp)
    for place, profile in enumerate(profiles):
        if profile is None:
            continue
        score_C = scorer.score(profile, rows_C)
        contribution_CK = scorer.by_expert(profile, rows_C)
        sum_C = scorer.bias_I[rows_C] + contribution_CK.sum(axis=1)
        for what, computed, expected in (
            ("score", score_C, golden.scores[place]),
            ("contribution", contribution_CK, golden.contributions[place]),
            ("sum of bias and contributions", sum_C, score_C),
        ):
            if not np.allclose(computed, expected, rtol=TOLERANCE, atol=TOLERANCE):
                raise GoldenMismatch(
                    f"golden user {place}: the {what} differs from what was recorded at export; "
                    "export it again"
                )
