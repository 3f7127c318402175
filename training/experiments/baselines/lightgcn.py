"""LightGCN: free embeddings, propagation over interactions, BPR or sampled softmax.

Letters: B pairs of a batch, U users, I items, D dimension, N shared negatives.
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from model.network.losses import sampled_softmax_loss
from training.data.dataset import Dataset
from training.experiments.baselines.base import Entry
from training.experiments.baselines.factors import (
    FactorBaseline,
    FactorModel,
    Step,
    UserItemGraph,
    embedding,
    pair_bpr,
    squared_norm,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGCN(FactorBaseline):
    """Settings of one run. Ref: He et al., arXiv:2002.02126."""

    loss: Literal["bpr", "sampled-softmax"]
    temperature: float = 0.2
    """Cosines are divided by it; BPR uses plain inner products and has none."""
    num_layers: int = 2
    embedding_dim: int = 64
    num_negatives: int = 512
    """Negatives of the sampled softmax."""
    l2: float = 1e-4
    """On the initial embeddings of the batch (the value of LightGCN's authors)."""

    @property
    def negatives(self) -> int | None:
        """Random items that a batch shares as negatives; BPR draws one per pair."""
        return None if self.loss == "bpr" else self.num_negatives

    def model(self, dataset: Dataset, generator: torch.Generator) -> FactorModel:
        """Freshly initialised."""
        return _LightGCN(self, dataset, generator)


class _LightGCN(FactorModel):
    def __init__(self, config: LightGCN, dataset: Dataset, generator: torch.Generator) -> None:
        super().__init__()
        num_users, num_items = dataset.train.shape
        self.config = config
        self.graph = UserItemGraph.of(dataset.train)
        self.user_UD = embedding(num_users, config.embedding_dim, generator)
        self.item_ID = embedding(num_items, config.embedding_dim, generator)

    def factors(self) -> tuple[Tensor, Tensor]:
        """Propagated embeddings; normalised over the temperature for the softmax."""
        user_UD, item_ID = self.graph.propagate(self.user_UD, self.item_ID, self.config.num_layers)
        if self.config.loss == "bpr":
            return user_UD, item_ID
        scale = self.config.temperature**-0.5
        return scale * functional.normalize(user_UD), scale * functional.normalize(item_ID)

    def loss(self, step: Step) -> Tensor:
        """The ranking loss and L2 on the initial embeddings of the batch."""
        user_UD, item_ID = self.factors()
        user_BD, negative_ND = user_UD[step.user_B], item_ID[step.negative_N]
        positive_B = (user_BD * item_ID[step.item_B]).sum(1)
        if self.config.loss == "bpr":
            ranking = pair_bpr(positive_B, (user_BD * negative_ND).sum(1), step.known)
        else:
            negative_BN = (user_BD @ negative_ND.T).masked_fill(step.known, -torch.inf)
            ranking = sampled_softmax_loss(positive_B, negative_BN)
        initial = self.user_UD[step.user_B], self.item_ID[step.item_B]
        return ranking + self.config.l2 * squared_norm(*initial)


LIGHTGCN_BPR = Entry(
    label="LightGCN, BPR",
    grid=tuple(
        LightGCN(loss="bpr", num_layers=layers, l2=l2)
        for layers, l2 in product((2, 3), (1e-3, 1e-2))
    ),
)
LIGHTGCN_SOFTMAX = Entry(
    label="LightGCN, sampled softmax",
    grid=tuple(
        LightGCN(loss="sampled-softmax", num_layers=layers, temperature=temperature)
        for layers, temperature in product((2, 3), (0.15, 0.2, 0.1))
    ),
)
