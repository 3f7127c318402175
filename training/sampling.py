"""Batches of positives with their histories and shared random negatives, from explicit generators.

Knows histories as index arrays; knows nothing about models. Letters: B positives, H history items,
N negatives.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from scipy.sparse import csr_array
from torch import Tensor

from model.contract.recency import recency_weights
from training.histories import Histories


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Row indices of one training step."""

    history_H: Tensor
    """Items that the batch's positives are predicted from, one history after the other."""
    start_B: Tensor
    """Where each history begins."""
    weight_H: Tensor
    item_B: Tensor
    negative_N: Tensor
    """Items drawn uniformly, shared by all positives of the batch."""


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Row indices of one step of a model with user embeddings."""

    user_B: Tensor
    item_B: Tensor
    negative_N: Tensor


def pair_batches(
    train: csr_array, *, batch_size: int, num_negatives: int, generator: torch.Generator
) -> Iterator[PairBatch]:
    """One pass over all training positives [U, I] in random order."""
    user_P, item_P = (torch.from_numpy(axis.astype("int64")) for axis in train.nonzero())
    order_P = torch.randperm(len(user_P), generator=generator)
    for chosen_B in order_P.split(batch_size):
        negative_N = torch.randint(train.shape[1], (num_negatives,), generator=generator)
        yield PairBatch(user_P[chosen_B], item_P[chosen_B], negative_N)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """How batches are drawn."""

    batch_size: int
    num_negatives: int
    longest_history: int
    recency_power: float
    generator: torch.Generator
    device: torch.device

    def epoch(self, histories: Histories) -> Iterator[Batch]:
        """One pass over the positives that can be predicted, in random order."""
        position_P = torch.from_numpy(histories.predictable())
        order_P = torch.randperm(len(position_P), generator=self.generator)
        for chosen_B in position_P[order_P].split(self.batch_size):
            position_B = chosen_B.numpy()
            bag = histories.before(position_B, self.longest_history)
            weight_H = torch.from_numpy(recency_weights(bag.age_H, self.recency_power))
            negative_N = torch.randint(
                histories.num_items, (self.num_negatives,), generator=self.generator
            )
            yield Batch(
                history_H=torch.from_numpy(bag.item_H).to(self.device),
                start_B=torch.from_numpy(bag.start_B).to(self.device),
                weight_H=weight_H.to(self.device),
                item_B=torch.from_numpy(histories.item_P[position_B]).to(self.device),
                negative_N=negative_N.to(self.device),
            )
