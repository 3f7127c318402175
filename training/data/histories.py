"""Every user's positives in the order of time, and which of them a prediction may use.

Letters: U users, I items, P positives of all users side by side, B positives of a batch, H history
items of a batch side by side, V views, M modalities, D dimension.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from model.runtime.item_item import recency_weights
from training.data.mapped import mapped

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryBag:
    """The histories of B positives, one after the other."""

    item_H: Rows
    start_B: Rows
    """Where each positive's history begins in `item_H`."""
    age_H: Rows
    """How many of the user's positives lie between this one and the positive; 0 if unordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """Positives by user, oldest first; in an arbitrary order if times are unknown."""

    offset_U1: Rows
    item_P: NDArray[np.int32]
    num_items: int
    ordered: bool

    @classmethod
    def of(
        cls,
        user_N: NDArray[np.integer],
        item_N: NDArray[np.integer],
        time_N: NDArray[np.float64] | None,
        shape: tuple[int, int],
    ) -> "Histories":
        """Group pairs by user; equal times keep the order given."""
        num_users, num_items = shape
        if time_N is None:
            order_N = np.random.default_rng(0).permutation(len(user_N))
        else:
            order_N = np.argsort(time_N, kind="stable")
        order_N = order_N[np.argsort(user_N[order_N], kind="stable")]
        offset_U1 = np.zeros(num_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(user_N, minlength=num_users), out=offset_U1[1:])
        return cls(
            offset_U1=offset_U1,
            item_P=item_N[order_N].astype(np.int32),
            num_items=num_items,
            ordered=time_N is not None,
        )

    @property
    def length_U(self) -> Rows:
        """Positives of every user."""
        return np.diff(self.offset_U1)

    def mapped(self, folder: Path) -> "Histories":
        """The same in a file, if it is large."""
        return replace(self, item_P=mapped(self.item_P, folder))

    def without(self, pairs: csr_array) -> "Histories":
        """The same but for the positives that `pairs` [U, I] holds."""
        user_P = np.repeat(np.arange(len(self.length_U)), self.length_U)
        user_N, item_N = (axis.astype(np.int64) for axis in pairs.nonzero())
        pair_P, pair_N = user_P * self.num_items + self.item_P, user_N * self.num_items + item_N
        kept_P = np.isin(pair_P, pair_N, invert=True)
        length_U = np.bincount(user_P[kept_P], minlength=len(self.length_U))
        return replace(
            self, offset_U1=np.append(0, np.cumsum(length_U)), item_P=self.item_P[kept_P]
        )

    def first(self, count: int) -> "Histories":
        """The `count` oldest positives of every user, or all where there are fewer."""
        length_U = self.length_U
        place_P = np.arange(len(self.item_P)) - np.repeat(self.offset_U1[:-1], length_U)
        offset_U1 = np.append(0, np.cumsum(np.minimum(length_U, count)))
        return replace(self, offset_U1=offset_U1, item_P=self.item_P[place_P < count])

    def users(self, position_B: Rows) -> Rows:
        """The users [B] of some positions in `item_P`."""
        return np.searchsorted(self.offset_U1, position_B, side="right") - 1

    def recency_weighted(self, power: float) -> csr_array:
        """The matrix [U, I] of weights (1 + age)^-power, age 0 being a user's newest positive.

        Ones if times are unknown. Recent interactions tell more about the next one (ours;
        `ease_recency` in docs/benchmarks.md shows how much).
        """
        length_U = self.length_U
        weight_P = np.ones(len(self.item_P), dtype=np.float32)
        if self.ordered:
            age_P = np.repeat(self.offset_U1[1:], length_U) - 1 - np.arange(len(self.item_P))
            weight_P = recency_weights(age_P, power)
        matrix = csr_array(
            (weight_P, self.item_P, self.offset_U1),
            shape=(len(length_U), self.num_items),
            copy=True,  # sorting its indices would sort the histories
        )
        matrix.sort_indices()
        return matrix

    @property
    def predictable_U(self) -> Rows:
        """How many positives of every user have a history to predict them from: the last ones."""
        length_U = self.length_U
        return np.where(length_U > 1, length_U - self.ordered, 0)

    def before(self, position_B: Rows, longest: int) -> HistoryBag:
        """What each positive is predicted from: never the positive itself, nothing newer.

        At most the `longest` newest of the positives before it; without times, up to as many of the
        user's other positives, taken cyclically from their shuffled list.
        """
        user_B = self.users(position_B)
        first_B, length_B = self.offset_U1[user_B], self.length_U[user_B]
        place_B = position_B - first_B
        size_B = np.minimum(place_B if self.ordered else length_B - 1, longest)
        start_B = np.cumsum(size_B) - size_B
        step_H = np.arange(size_B.sum()) - np.repeat(start_B, size_B) + 1
        place_H = (np.repeat(place_B, size_B) - step_H) % np.repeat(length_B, size_B)
        return HistoryBag(
            item_H=self.item_P[np.repeat(first_B, size_B) + place_H].astype(np.int64),
            start_B=start_B,
            age_H=step_H - 1 if self.ordered else np.zeros_like(step_H),
        )


def fold_in_histories(
    weight_BI: csr_array, foldin_IVMD: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Users [B, V, M, D] of weighted histories [B, I], as `model.network.encoder.fold_in`."""
    length_IVM1 = np.linalg.norm(foldin_IVMD, axis=-1, keepdims=True)
    summed_BVMD, total_BVM1 = (
        np.asarray(weight_BI @ x.reshape(len(x), -1), dtype=np.float32).reshape(-1, *x.shape[1:])
        for x in (foldin_IVMD, length_IVM1)
    )
    return (summed_BVMD / np.maximum(total_BVM1, 1e-12)).astype(np.float32)
