"""Batches of positives with their histories and shared random negatives, from explicit generators.

Letters: U users, I items, P all positives, B positives of a batch, H history items, N negatives,
X items that are wanted, C items that are compared.
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
    folded_X: Tensor
    """The items of these histories, none twice."""
    user_B: Tensor
    free_B1: Tensor
    """1 where the user's free part is used, 0 where the positive is predicted without it."""
    item_B: Tensor
    negative_N: Tensor
    """Items shared by all positives of the batch."""
    cold_B: Tensor
    """Places of the positives that are masked as cold."""
    cold_N: Tensor
    """Places of the negatives that are masked as cold."""
    contrasted_C: Tensor
    """Items that are compared with each other, of all processes' positives, none twice."""

    @property
    def wanted(self) -> tuple[Tensor, Tensor, Tensor]:
        """What `GraphEncoder.embed` takes.

        First positives, negatives and the items that are compared; then the masked items, those of
        the positives before those of the negatives; then the items of histories.
        """
        return (
            torch.cat([self.item_B, self.negative_N, self.contrasted_C]),
            torch.cat([self.item_B[self.cold_B], self.negative_N[self.cold_N]]),
            self.folded_X,
        )


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
            folded_X, column_H = np.unique(bag.item_H, return_inverse=True)
            history_BX = csr_array(
                (
                    recency_weights(bag.age_H, self.recency_power),
                    column_H,
                    np.append(bag.start_B, len(bag.item_H)),
                ),
                shape=(len(own_B), len(folded_X)),
            )
            contrasted_C = np.unique(histories.item_P[position_B[:_CONTRASTED_ROWS]])
            negative_N = torch.from_numpy(self._drawn(negative_weight_I, num_negatives))
            yield Batch(
                history=sparse_operator(history_BX).to(self.device),
                folded_X=torch.from_numpy(folded_X).to(self.device),
                user_B=torch.from_numpy(histories.users(own_B)).to(self.device),
                free_B1=torch.from_numpy(free_B[:, None].astype(np.float32)).to(self.device),
                item_B=torch.from_numpy(histories.item_P[own_B]).long().to(self.device),
                negative_N=negative_N.to(self.device),
                cold_B=_places(cold_B).to(self.device),
                cold_N=_places(self._cold(num_negatives)).to(self.device),
                contrasted_C=torch.from_numpy(contrasted_C).long().to(self.device),
            )

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


def _places(drawn_X: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(np.flatnonzero(drawn_X))
