"""Users that a model is tried with before it is served: how they are read, and kept for a restart.

Knows vectors and histories; knows nothing about scores.

Letters: U users, H history length, V views, M modalities, D dimension.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from service.foldin import Rows
from service.source import OpenedModel

SAMPLED_USERS = 16
"""Users that recall is measured with: 320 places of top-20 lists, a few seconds of start-up for a
million items."""


@dataclass(frozen=True, slots=True, eq=False)
class TrialUser:
    """All that a profile is made of."""

    vector_VMD: NDArray[np.float32]
    history_H: Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialUsers:
    """Users of one model version."""

    golden: Sequence[TrialUser]
    """Those of the golden pairs."""
    sampled: Sequence[TrialUser]
    """Some from all over the table, for recall."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `of` makes them again from."""
        return {
            f"{group}_{part}": array
            for group, users in (("golden", self.golden), ("sampled", self.sampled))
            for part, array in _arrays(users).items()
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of `arrays`; KeyError."""
        return cls(golden=_users(arrays, "golden"), sampled=_users(arrays, "sampled"))


async def read_trial_users(opened: OpenedModel) -> TrialUsers:
    """Read them by the way that requests do; SourceUnavailable."""
    manifest = opened.manifest
    count = min(SAMPLED_USERS, manifest.num_users)
    sampled = np.linspace(0, manifest.num_users - 1, count).astype(int).tolist()
    return TrialUsers(
        golden=await _read(opened, manifest.golden.user_rows),
        sampled=await _read(opened, sampled),
    )


async def _read(opened: OpenedModel, rows: Sequence[int]) -> list[TrialUser]:
    records = [await opened.users.user(row) for row in rows]
    return [TrialUser(record.vector_VMD, record.history_H) for record in records]


def _arrays(users: Sequence[TrialUser]) -> dict[str, NDArray[Any]]:
    histories = [user.history_H for user in users]
    return {
        "vectors": np.array([user.vector_VMD for user in users]),
        "histories": np.concatenate([*histories, np.empty(0, dtype=np.int32)]),
        "ends": np.cumsum([len(history_H) for history_H in histories], dtype=np.intp),
    }


def _users(arrays: Mapping[str, NDArray[Any]], group: str) -> list[TrialUser]:
    vectors, histories, ends = (arrays[f"{group}_{x}"] for x in ("vectors", "histories", "ends"))
    parts = np.split(histories, ends)[:-1] if len(ends) else []
    return [TrialUser(*pair) for pair in zip(vectors, parts, strict=True)]
