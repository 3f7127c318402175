"""Baselines that end in one vector per user and item: their epochs and their early stopping.

Letters: U users, I items, D dimension, B pairs of a batch, N negatives, F width of a modality.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from torch import Tensor, nn

from model.network.graph import SparseOperator
from training.data.dataset import Dataset
from training.data.features import Standardisation
from training.evaluate.closed_forms import BaselineError
from training.evaluate.protocol import ScoreFunction, evaluate
from training.experiments.baselines.base import Fitted, Trained
from training.fit.graphs import sparse_operator


def content_features(dataset: Dataset, model: str) -> dict[str, NDArray[np.float32]]:
    """Standardised features [I, F] of every modality, zero where missing.

    Raises:
        BaselineError: there is no content; `model` is named as the one that needs it.
    """
    if not dataset.features:
        raise BaselineError(
            f"{model} is left out: it needs content, and {dataset.name} has behaviour alone"
        )
    return {name: Standardisation.of(x)(x) for name, x in dataset.features.items()}


def symmetrically_normalised(edges: csr_array) -> csr_array:
    """Every entry over the square roots of its row's and its column's sums."""
    row, column = (_inverse_root(np.asarray(edges.sum(axis=axis)).ravel()) for axis in (1, 0))
    return csr_array(diags_array(row) @ edges @ diags_array(column))


@dataclass(frozen=True, slots=True)
class UserItemGraph:
    """The normalised user-item graph [U, I], applied in both directions."""

    user_from_item: SparseOperator

    @classmethod
    def of(cls, train: csr_array) -> "UserItemGraph":
        """The graph of some positives [U, I]."""
        return cls(sparse_operator(symmetrically_normalised(train)))

    def propagate(self, user_UD: Tensor, item_ID: Tensor, num_layers: int) -> tuple[Tensor, Tensor]:
        """The mean over layers 0 to num_layers. Ref: arXiv:2002.02126, Eq. 3 and 4."""
        user_sum, item_sum = user_UD, item_ID
        for _ in range(num_layers):
            user_UD, item_ID = self.user_from_item(item_ID), self.user_from_item.T(user_UD)
            user_sum, item_sum = user_sum + user_UD, item_sum + item_ID
        return user_sum / (num_layers + 1), item_sum / (num_layers + 1)


def _inverse_root(degree: NDArray[np.number]) -> NDArray[np.float32]:
    """degree^-1/2, and zero where there are no edges."""
    return np.where(degree > 0, np.maximum(degree, 1e-12) ** -0.5, 0).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How a run goes through the data."""

    learning_rate: float = 5e-3
    min_batch: int = 2048
    """Pairs per step; more where an epoch would have more than `max_steps`."""
    max_steps: int = 32
    """Per epoch. A step costs a pass over the whole graph, so without a bound an epoch's cost would
    grow with the square of the interactions."""
    max_epochs: int = 200
    patience: int = 15
    """Epochs without a better validation NDCG@20 before training stops."""


@dataclass(frozen=True, slots=True)
class Step:
    """Row indices of one step."""

    user_B: Tensor
    item_B: Tensor
    negative_N: Tensor
    """Shared by the batch, or one per pair."""
    known: Tensor
    """Which negatives are training positives of the user: [B, N], or [B] if they go by pair."""


class FactorModel(nn.Module, ABC):
    """Scores are inner products of the rows of `factors`."""

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Draw what an epoch needs; nothing by default."""

    @abstractmethod
    def factors(self) -> tuple[Tensor, Tensor]:
        """Vectors of all users [U, D] and items [I, D], for ranking."""

    @abstractmethod
    def loss(self, step: Step) -> Tensor:
        """Loss of a step, regularisation included."""


def embedding(rows: int, columns: int, generator: torch.Generator) -> nn.Parameter:
    """Normal random numbers.

    They are small because what a user with two interactions starts from is never unlearnt (ours: a
    tenth of LightGCN's 0.1 gives better validation NDCG@20 with BPR, the same with the softmax).
    """
    weight = torch.empty(rows, columns)
    nn.init.normal_(weight, std=0.01, generator=generator)
    return nn.Parameter(weight)


def pair_bpr(positive_B: Tensor, negative_B: Tensor, known_B: Tensor) -> Tensor:
    """BPR with one negative per pair, those apart that are known positives of the user.

    Ref: arXiv:1205.2618, the criterion of section 4.
    """
    return nn.functional.softplus(negative_B - positive_B)[~known_B].mean()


def squared_norm(*rows: Tensor) -> Tensor:
    """Half the mean squared length of some rows [B, D], summed over the arguments."""
    return 0.5 * torch.stack([x_BD.square().sum(1).mean() for x_BD in rows]).sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorBaseline(Trained):
    """Settings of a baseline whose scores are inner products of vectors."""

    schedule: Schedule = field(default_factory=Schedule)

    @property
    def negatives(self) -> int | None:
        """Random items that a batch shares as negatives; None for one per pair."""
        return None

    @abstractmethod
    def model(self, dataset: Dataset, generator: torch.Generator) -> FactorModel:
        """A freshly initialised model; BaselineError if the data set lacks what it needs."""

    def fit(self, dataset: Dataset, seed: int, deadline: float) -> Fitted:
        """Train until validation NDCG@20 stops improving; equal seeds give equal results."""
        best_value, best_epoch, best_score = -math.inf, 0, None
        curve: list[tuple[float, float]] = []
        start, processor_start = time.monotonic(), time.process_time()
        for epoch, score in enumerate(self.epochs(dataset, seed), 1):
            value = evaluate(score, dataset, dataset.valid, ks=(20,)).metrics["ndcg@20"]
            curve.append((time.process_time() - processor_start, value))
            if best_score is None or value > best_value:
                best_value, best_epoch, best_score = value, epoch, score
            improving = epoch - best_epoch < self.schedule.patience
            finished = not improving or epoch == self.schedule.max_epochs
            if finished or time.monotonic() >= deadline:
                break
        assert best_score is not None
        return Fitted(
            score=best_score,
            seconds_per_epoch=(time.monotonic() - start) / epoch,
            epochs=best_epoch,
            curve=tuple(curve),
            finished=finished,
        )

    def fit_epochs(self, dataset: Dataset, seed: int, epochs: int) -> Fitted:
        """Train so many epochs without validation, the same as in `fit`."""
        start = time.monotonic()
        score = next(islice(self.epochs(dataset, seed), epochs - 1, None))
        seconds = (time.monotonic() - start) / epochs
        return Fitted(score=score, seconds_per_epoch=seconds, epochs=epochs)

    def epochs(self, dataset: Dataset, seed: int) -> Iterator[ScoreFunction]:
        """What each epoch makes, without end."""
        generator = torch.Generator().manual_seed(seed)
        model, schedule = self.model(dataset, generator), self.schedule
        optimizer = torch.optim.Adam(model.parameters(), lr=schedule.learning_rate)
        while True:
            model.begin_epoch(generator)
            for step in _steps(dataset.train, schedule, self.negatives, generator):
                optimizer.zero_grad()
                model.loss(step).backward()
                optimizer.step()
            yield partial(_inner_products, *_factors(model))


def _steps(
    train: csr_array, schedule: Schedule, negatives: int | None, generator: torch.Generator
) -> Iterator[Step]:
    """One pass over all training positives [U, I] in random order."""
    batch_size = max(schedule.min_batch, math.ceil(train.nnz / schedule.max_steps))
    user_P, item_P = (torch.from_numpy(axis.astype("int64")) for axis in train.nonzero())
    for chosen_B in torch.randperm(train.nnz, generator=generator).split(batch_size):
        user_B, item_B = user_P[chosen_B], item_P[chosen_B]
        negative_N = torch.randint(train.shape[1], (negatives or batch_size,), generator=generator)
        if negatives is None:
            negative_N = negative_N[: len(user_B)]
        # Copies: SciPy wants to set a flag on them, which memory of torch refuses.
        users, drawn = user_B.numpy().copy(), negative_N.numpy().copy()
        if negatives is None:
            known = train[users, drawn] > 0
        else:
            known = train[users][:, drawn].toarray() > 0
        yield Step(user_B, item_B, negative_N, torch.from_numpy(known))


def _factors(model: FactorModel) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with torch.inference_mode():
        user_UD, item_ID = (side.numpy().copy() for side in model.factors())
    return user_UD, item_ID


def _inner_products(
    user_UD: NDArray[np.float32], item_ID: NDArray[np.float32], user_B: NDArray[np.int64]
) -> NDArray[np.float32]:
    return np.asarray(user_UD[user_B] @ item_ID.T)
