"""LightGCN as a baseline: free embeddings, propagation over interactions, BPR or sampled softmax.

Knows training positives, and validation positives for early stopping and for its settings; knows
nothing about content, and nothing here reads the test part.

Letters: U users, I items, D dimension, B pairs or users of a block, N shared negatives.
"""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor, nn

from model.dual_view import normalise_rows
from model.losses import bpr_loss, sampled_softmax_loss
from training.dataset import Dataset
from training.evaluation import evaluate
from training.graphs import build_views
from training.sampling import PairBatch, pair_batches

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGCNConfig:
    """Settings of one run."""

    loss: Literal["bpr", "sampled-softmax"]
    temperature: float = 0.2
    """Cosines are divided by it; BPR uses plain inner products and has none."""
    num_layers: int = 2
    embedding_dim: int = 64
    learning_rate: float = 5e-3
    l2: float = 1e-4
    """On the initial embeddings of the batch (the value of LightGCN's authors)."""
    batch_size: int = 2048
    negatives: int = 512
    """Random items shared by a batch as negatives; BPR draws one per pair."""
    max_epochs: int = 200
    patience: int = 15
    """Epochs without a better validation NDCG@20 before training stops."""


GRIDS: dict[str, list[LightGCNConfig]] = {
    "lightgcn_bpr": [
        LightGCNConfig(loss="bpr", num_layers=layers, l2=l2)
        for layers in (1, 2)
        for l2 in (1e-4, 1e-3)
    ],
    "lightgcn_ssm": [
        LightGCNConfig(loss="sampled-softmax", num_layers=layers, temperature=temperature)
        for layers in (1, 2)
        for temperature in (0.1, 0.15, 0.2, 0.3)
    ],
}
"""Settings among which validation chooses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedLightGCN:
    """The best epoch of a run."""

    config: LightGCNConfig
    user_UD: NDArray[np.float32]
    item_ID: NDArray[np.float32]
    valid_ndcg20: float
    best_epoch: int
    seconds_per_epoch: float

    def score(self, user_B: NDArray[np.int64]) -> NDArray[np.float32]:
        """Inner products with every item [B, I]."""
        return np.asarray(self.user_UD[user_B] @ self.item_ID.T)


def train_lightgcn(dataset: Dataset, config: LightGCNConfig, seed: int) -> TrainedLightGCN:
    """Train until validation NDCG@20 stops improving; equal seeds give equal results."""
    generator = torch.Generator().manual_seed(seed)
    model = _LightGCN(dataset, config, generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    best: TrainedLightGCN | None = None
    seconds = 0.0
    for epoch in range(1, config.max_epochs + 1):
        start = time.perf_counter()
        _train_epoch(model, optimizer, dataset, generator)
        with torch.inference_mode():
            user_UD, item_ID = (side.numpy() for side in model())
        current = TrainedLightGCN(
            config=config,
            user_UD=user_UD,
            item_ID=item_ID,
            valid_ndcg20=math.nan,
            best_epoch=epoch,
            seconds_per_epoch=math.nan,
        )
        value = evaluate(current.score, dataset, dataset.valid, ks=(20,)).metrics["ndcg@20"]
        seconds += time.perf_counter() - start
        if best is None or value > best.valid_ndcg20:
            best = replace(current, valid_ndcg20=value)
        if epoch - best.best_epoch >= config.patience:
            break
    assert best is not None
    return replace(best, seconds_per_epoch=seconds / epoch)


def tune_lightgcn(
    candidates: Sequence[LightGCNConfig], dataset: Dataset, seed: int
) -> TrainedLightGCN:
    """The run that ranks validation positives best."""
    best: TrainedLightGCN | None = None
    for config in candidates:
        run = train_lightgcn(dataset, config, seed)
        log.info(f"{config}: validation NDCG@20 {run.valid_ndcg20:.4f}, epoch {run.best_epoch}")
        if best is None or run.valid_ndcg20 > best.valid_ndcg20:
            best = run
    assert best is not None
    return best


class _LightGCN(nn.Module):
    """Ref: arXiv:2002.02126, Eq. 3 and 4; the mean over layers, normalised rows for softmax."""

    def __init__(
        self, dataset: Dataset, config: LightGCNConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        num_users, num_items = dataset.train.shape
        self.config = config
        self.user_from_item = build_views(dataset.train, [])[0].user_from_item
        self.train_UI = dataset.train
        self.user_UD = nn.Parameter(torch.empty(num_users, config.embedding_dim))
        self.item_ID = nn.Parameter(torch.empty(num_items, config.embedding_dim))
        for weight in (self.user_UD, self.item_ID):
            nn.init.normal_(weight, std=0.1, generator=generator)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Propagated embeddings of all users and items."""
        user: Tensor = self.user_UD
        item: Tensor = self.item_ID
        user_sum, item_sum = user, item
        for _ in range(self.config.num_layers):
            user, item = self.user_from_item(item), self.user_from_item.T(user)
            user_sum, item_sum = user_sum + user, item_sum + item
        if self.config.loss == "bpr":
            layers = self.config.num_layers + 1
            return user_sum / layers, item_sum / layers
        scale = self.config.temperature**-0.5
        return normalise_rows(user_sum) * scale, normalise_rows(item_sum) * scale

    def bpr(self, batch: PairBatch) -> Tensor:
        """One random negative per pair."""
        user, item = self()
        user_BD = user[batch.user_B]
        positive_B = (user_BD * item[batch.item_B]).sum(1)
        negative_B = batch.negative_N[: len(user_BD)]
        negative_B1 = (user_BD * item[negative_B]).sum(1, keepdim=True)
        drawn_BI = csr_array(
            (np.ones(len(negative_B)), negative_B.numpy(), np.arange(len(negative_B) + 1)),
            shape=(len(negative_B), len(item)),
        )
        known_B = self.train_UI[batch.user_B.numpy()].multiply(drawn_BI).sum(axis=1) > 0
        masked_B1 = negative_B1.masked_fill(torch.from_numpy(known_B)[:, None], -torch.inf)
        return bpr_loss(positive_B, masked_B1)

    def sampled_softmax(self, batch: PairBatch) -> Tensor:
        """Negatives shared by the batch, without each user's own positives."""
        user, item = self()
        user_BD = user[batch.user_B]
        positive_B = (user_BD * item[batch.item_B]).sum(1)
        negative_BN = user_BD @ item[batch.negative_N].T
        known_BN = self.train_UI[batch.user_B.numpy()][:, batch.negative_N.numpy()].toarray() > 0
        masked_BN = negative_BN.masked_fill(torch.from_numpy(known_BN), -torch.inf)
        return sampled_softmax_loss(positive_B, masked_BN)

    def squared_norm(self, batch: PairBatch) -> Tensor:
        """Half the mean squared length of the batch's initial embeddings."""
        user_BD, item_BD = self.user_UD[batch.user_B], self.item_ID[batch.item_B]
        return 0.5 * (user_BD.square().sum(1).mean() + item_BD.square().sum(1).mean())


def _train_epoch(
    model: _LightGCN,
    optimizer: torch.optim.Optimizer,
    dataset: Dataset,
    generator: torch.Generator,
) -> None:
    config = model.config
    bpr = config.loss == "bpr"
    for batch in pair_batches(
        dataset.train,
        batch_size=config.batch_size,
        num_negatives=config.batch_size if bpr else config.negatives,
        generator=generator,
    ):
        loss = model.bpr(batch) if bpr else model.sampled_softmax(batch)
        optimizer.zero_grad()
        (loss + config.l2 * model.squared_norm(batch)).backward()
        optimizer.step()
