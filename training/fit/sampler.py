"""Batches of positives with their histories and shared random negatives, from explicit generators.

Letters: U users, I items, P all positives, B positives of a batch, H history items, N negatives,
X items that are wanted, Y items that are wanted as if nobody had chosen them, C items that are
compared.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from model.network.graph import SparseOperator
from model.runtime.item_item import recency_weights
from training.data.histories import Histories
from training.fit.config import TrainingConfig
from training.fit.distributed import ALONE, Processes
from training.fit.graphs import sparse_operator

_LEAST_BATCH = 256
_ITEMS_PER_NEGATIVE, _FEWEST_NEGATIVES, _MOST_NEGATIVES = 40, 256, 1024
_CONTRASTED_ROWS = 512
"""Positives of a batch that the contrastive terms compare; enough negatives at a bounded cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Row indices of one training step, the positives being this process's share."""

    history: SparseOperator
    """Weighted items [B, X] that the batch's positives are predicted from."""
    item_X: Tensor
    """Everything that the step embeds: positives, negatives, items that are compared, items of
    histories; none twice."""
    cold_Y: Tensor
    """The positives and negatives that are masked as cold, none twice."""
    user_B: Tensor
    free_B1: Tensor
    """1 where the user's free part is used, 0 where the positive is predicted without it."""
    item_B: Tensor
    negative_N: Tensor
    """Items shared by all positives of the batch."""
    place_B: Tensor
    """The positives' places in `item_X`, or, if they are masked, in what follows it: `cold_Y`."""
    place_N: Tensor
    """The negatives' places likewise."""
    contrasted_C: Tensor
    """Places in `item_X` of items that are compared with each other, of all processes' positives,
    none twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """How batches are drawn.

    - positives: with replacement, a user's in proportion to (their number)^-user_damping (ours).
      Quality is an average over users, training one over positives; a few users with most of the
      positives would otherwise dominate what is learnt.
    - negatives: with replacement, an item in proportion to (1 + its positives)^popularity_power.
      0 is uniform; above, scores need less popularity to tell positives from negatives, which
      leaves room for the tail (word2vec's smoothed unigrams, arXiv:1310.4546, section 2.2).
    - cold-start masking: each positive and negative is shown with probability cold_rate as if
      nobody had chosen it, so that content learns to tell items apart without behaviour (ours;
      DropoutNet, NIPS 2017, drops the input instead of taking the item out of the graph).
    """

    config: TrainingConfig
    histories: Histories
    has_content: bool
    """Without content nothing is masked as cold."""
    generator: torch.Generator
    device: torch.device
    processes: Processes = ALONE

    @property
    def recency_power(self) -> float:
        """Of the weights of history items; 0 where histories have no order."""
        return self.config.recency_power if self.histories.ordered else 0.0

    def epoch(self, most: int | None = None) -> Iterator[Batch]:
        """As many draws as there are positives that can be predicted.

        Batches are as large as the configuration says, but have at most `most` positives.
        """
        histories = self.histories
        uniform_P = self._uniform(int(histories.predictable_U.sum()))
        count_I = np.bincount(histories.item_P, minlength=histories.num_items)
        negative_weight_I = (1.0 + count_I) ** self.config.popularity_power
        num_negatives = self.config.negatives or enough_negatives(histories.num_items)
        batch_size = self._batch_size(len(uniform_P))
        if most is not None:
            batch_size = min(batch_size, most)
        for start in range(0, len(uniform_P), batch_size):
            position_B = self._positions(uniform_P[start : start + batch_size])
            own_B, cold_B, free_B = (
                self.processes.equal_share(x)
                for x in (
                    position_B,
                    self._cold(len(position_B)),
                    1 - self._chance(self.config.user_dropout, len(position_B)),
                )
            )
            bag = histories.before(own_B, self.config.longest_history)
            item_B = histories.item_P[own_B].astype(np.int64)
            negative_N = self._drawn(negative_weight_I, num_negatives)
            cold_N = self._cold(num_negatives)
            compared_C = histories.item_P[position_B[:_CONTRASTED_ROWS]]
            drawn = ((item_B, cold_B > 0), (negative_N, cold_N > 0))
            seen = [item_X[~cold_X] for item_X, cold_X in drawn]
            place_I, item_X = self._places(bag.item_H, compared_C, *seen)
            cold_place_I, cold_Y = self._places(*(item_X[cold_X] for item_X, cold_X in drawn))
            place_B, place_N = (
                np.where(cold_Z, len(item_X) + cold_place_I[item_Z], place_I[item_Z])
                for item_Z, cold_Z in drawn
            )
            history_BX = csr_array(
                (
                    recency_weights(bag.age_H, self.recency_power),
                    place_I[bag.item_H],
                    np.append(bag.start_B, len(bag.item_H)),
                ),
                shape=(len(own_B), len(item_X)),
            )
            rows = {
                "item_X": item_X,
                "cold_Y": cold_Y,
                "user_B": histories.users(own_B),
                "free_B1": free_B[:, None].astype(np.float32),
                "item_B": item_B,
                "negative_N": negative_N,
                "place_B": place_B,
                "place_N": place_N,
                "contrasted_C": np.unique(place_I[compared_C]),
            }
            yield Batch(
                history=sparse_operator(history_BX).to(self.device),
                **{name: torch.from_numpy(x).to(self.device) for name, x in rows.items()},
            )

    def _places(self, *parts: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places [I] of some items among themselves, none twice, and these items in order."""
        wanted_I = np.zeros(self.histories.num_items, dtype=np.bool_)
        for items in parts:
            wanted_I[items] = True
        return np.cumsum(wanted_I) - 1, np.flatnonzero(wanted_I)

    def _batch_size(self, num_positives: int) -> int:
        """As `TrainingConfig.batch_size` says, or more to keep within `max_steps`."""
        sampled = self.config.samples(len(self.histories.item_P))
        least = 1 if sampled else math.ceil(num_positives / self.config.max_steps)
        most = max(_LEAST_BATCH, len(self.histories.length_U) // 2)
        return max(least, min(self.config.batch_size, most))

    def _positions(self, uniform_B: NDArray[np.float64]) -> NDArray[np.int64]:
        """Positions of positives in `Histories.item_P`, by uniform numbers."""
        histories = self.histories
        predictable_U = histories.predictable_U
        weight_U = np.maximum(histories.length_U, 1) ** -self.config.user_damping
        bound_U = np.cumsum(predictable_U * weight_U)
        wanted_B = uniform_B * bound_U[-1]
        user_B = _within(bound_U, wanted_B)
        to_end_B = ((bound_U[user_B] - wanted_B) / weight_U[user_B]).astype(np.int64)
        from_end_B = np.minimum(to_end_B, predictable_U[user_B] - 1)
        position_B: NDArray[np.int64] = histories.offset_U1[user_B + 1] - 1 - from_end_B
        return position_B

    def _cold(self, count: int) -> NDArray[np.int64]:
        """1 for each item that is masked as cold."""
        return self._chance(self.config.cold_rate * self.has_content, count)

    def _chance(self, share: float, count: int) -> NDArray[np.int64]:
        """1 for each of `count` that is drawn, with the probability `share`."""
        return (self._uniform(count) < share).astype(np.int64)

    def _drawn(self, weight_X: NDArray[np.floating], count: int) -> NDArray[np.int64]:
        """Indices drawn in proportion to their weights; any number of them, unlike multinomial."""
        bound_X = np.cumsum(weight_X)
        return _within(bound_X, self._uniform(count) * bound_X[-1])

    def _uniform(self, count: int) -> NDArray[np.float64]:
        uniform_N: NDArray[np.float64] = torch.rand(
            count, generator=self.generator, dtype=torch.float64
        ).numpy()
        return uniform_N


def enough_negatives(num_items: int) -> int:
    """Negatives for so many items by default, see `TrainingConfig.negatives`."""
    return min(max(num_items // _ITEMS_PER_NEGATIVE, _FEWEST_NEGATIVES), _MOST_NEGATIVES)


def _within(bound_X: NDArray[np.floating], wanted_N: NDArray[np.float64]) -> NDArray[np.int64]:
    """Where some numbers lie between ascending bounds, the last being the largest number."""
    last = np.searchsorted(bound_X, bound_X[-1])
    place_N: NDArray[np.int64] = np.searchsorted(bound_X, wanted_N, side="right")
    return place_N.clip(max=last)
