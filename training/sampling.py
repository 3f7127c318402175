"""Batches of positive pairs with shared random negatives, from an explicit generator.

Knows interactions as index pairs; knows nothing about models. Letters: B pairs, N negatives.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from scipy.sparse import csr_array
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Row indices of one training step."""

    user_B: Tensor
    item_B: Tensor
    negative_N: Tensor
    """Items drawn uniformly, shared by all pairs of the batch."""


def batches(
    train: csr_array,
    *,
    batch_size: int,
    num_negatives: int,
    generator: torch.Generator,
    device: torch.device,
) -> Iterator[Batch]:
    """One pass over the training positives [U, I] in random order."""
    user_P, item_P = (torch.from_numpy(axis.astype("int64")) for axis in train.nonzero())
    order_P = torch.randperm(len(user_P), generator=generator)
    for chosen_B in order_P.split(batch_size):
        negative_N = torch.randint(train.shape[1], (num_negatives,), generator=generator)
        yield Batch(user_P[chosen_B].to(device), item_P[chosen_B].to(device), negative_N.to(device))
