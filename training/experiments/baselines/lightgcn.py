"""LightGCN: free embeddings, propagation over interactions, BPR or sampled softmax.

Knows nothing about content. Letters: B pairs of a batch, D dimension, N shared negatives.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from model.network.encoder import normalise_rows
from model.network.losses import sampled_softmax_loss
from training.data.dataset import Dataset
from training.experiments.baselines.base import Deadline, Fitted
from training.experiments.baselines.factors import (
    FactorModel,
    Schedule,
    Step,
    UserItemGraph,
    embedding,
    pair_bpr,
    squared_norm,
    train_factors,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGCN:
    """Settings of one run. Ref: He et al., arXiv:2002.02126."""

    loss: Literal["bpr", "sampled-softmax"]
    temperature: float = 0.2
    """Cosines are divided by it; BPR uses plain inner products and has none."""
    num_layers: int = 2
    embedding_dim: int = 64
    l2: float = 1e-4
    """On the initial embeddings of the batch (the value of LightGCN's authors)."""
    negatives: int = 512
    """Random items shared by a batch as negatives; BPR draws one per pair."""
    schedule: Schedule = field(default_factory=Schedule)

    def fit(self, dataset: Dataset, seed: int, deadline: Deadline) -> Fitted:
        """Train until validation stops improving or the deadline comes."""
        generator = torch.Generator().manual_seed(seed)
        model = _LightGCN(self, dataset, generator)
        negatives = None if self.loss == "bpr" else self.negatives
        return train_factors(model, dataset, self.schedule, negatives, generator, deadline)


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
        return normalise_rows(user_UD) * scale, normalise_rows(item_ID) * scale

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
