"""FREEDOM: LightGCN on a pruned user-item graph, joined with a frozen item-item content graph.

Letters: B pairs of a batch, U users, I items, M content modalities, D dimension,
F width of a modality, E edges.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from training.data.dataset import Dataset
from training.experiments.baselines.base import Entry
from training.experiments.baselines.factors import (
    FactorBaseline,
    FactorModel,
    Step,
    UserItemGraph,
    content_features,
    embedding,
    pair_bpr,
    squared_norm,
    symmetrically_normalised,
)
from training.fit.graphs import content_neighbours, sparse_operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Freedom(FactorBaseline):
    """Settings of one run. Ref: Zhou and Shen, MM 2023 (arXiv:2211.06924).

    Kept: kNN graphs of raw features, unweighted, normalised and frozen; edges dropped each epoch
    with a probability that grows with their ends' degrees; the ranking loss repeated for each
    modality's projected features. Ours: features are centred, modalities count alike in the graph.
    """

    dropped: float
    """Share of the user-item edges that an epoch does without (rho)."""
    content_loss: float = 1e-3
    """Weight of the modalities' own ranking losses (lambda)."""
    num_layers: int = 2
    embedding_dim: int = 64
    l2: float = 1e-4

    def model(self, dataset: Dataset, generator: torch.Generator) -> FactorModel:
        """Freshly initialised; BaselineError without content."""
        return _Freedom(self, dataset, generator)


class _Freedom(FactorModel):
    def __init__(self, config: Freedom, dataset: Dataset, generator: torch.Generator) -> None:
        super().__init__()
        num_users, num_items = dataset.train.shape
        self.config = config
        self.features = [
            torch.from_numpy(x_IF) for x_IF in content_features(dataset, "FREEDOM").values()
        ]
        self.train_UI = dataset.train
        self.graph = UserItemGraph.of(dataset.train)
        self.pruned = self.graph
        self.item_graph = sparse_operator(_item_graph(dataset))
        self.user_UD = embedding(num_users, config.embedding_dim, generator)
        self.item_ID = embedding(num_items, config.embedding_dim, generator)
        self.projection_MFD = nn.ParameterList(
            [embedding(x.shape[1], config.embedding_dim, generator) for x in self.features]
        )

    def begin_epoch(self, generator: torch.Generator) -> None:
        """Prune the user-item graph anew."""
        self.pruned = UserItemGraph.of(_pruned(self.train_UI, self.config.dropped, generator))

    def factors(self) -> tuple[Tensor, Tensor]:
        """Vectors over the whole graph."""
        return self._encode(self.graph)

    def loss(self, step: Step) -> Tensor:
        """BPR over the pruned graph and over each modality, and L2."""
        user_UD, item_ID = self._encode(self.pruned)
        user_BD = user_UD[step.user_B]

        def bpr(positive_BD: Tensor, negative_BD: Tensor) -> Tensor:
            return pair_bpr(
                (user_BD * positive_BD).sum(1), (user_BD * negative_BD).sum(1), step.known
            )

        loss = bpr(item_ID[step.item_B], item_ID[step.negative_N])
        for x_IF, projection_FD in zip(self.features, self.projection_MFD, strict=True):
            content = bpr(x_IF[step.item_B] @ projection_FD, x_IF[step.negative_N] @ projection_FD)
            loss = loss + self.config.content_loss * content
        initial = self.user_UD[step.user_B], self.item_ID[step.item_B]
        return loss + self.config.l2 * squared_norm(*initial)

    def _encode(self, graph: UserItemGraph) -> tuple[Tensor, Tensor]:
        user_UD, item_ID = graph.propagate(self.user_UD, self.item_ID, self.config.num_layers)
        return user_UD, item_ID + self.item_graph(self.item_ID)


def _item_graph(dataset: Dataset) -> csr_array:
    """The mean over modalities of their normalised, unweighted neighbours [I, I]."""
    graphs = []
    for features in dataset.features.values():
        edges = content_neighbours(features)
        edges.data[:] = 1.0
        graphs.append(symmetrically_normalised(edges))
    return csr_array(sum(graphs[1:], start=graphs[0]) / len(graphs))


def _pruned(train: csr_array, dropped: float, generator: torch.Generator) -> csr_array:
    """Keep edges, drawn without replacement with probability 1 / sqrt(their ends' degrees)."""
    user_E, item_E = train.nonzero()
    degree_U, degree_I = np.diff(train.indptr), np.bincount(item_E, minlength=train.shape[1])
    chance_E = torch.from_numpy(1.0 / np.sqrt(degree_U[user_E] * degree_I[item_E]))
    num_kept = max(1, round(train.nnz * (1 - dropped)))
    kept_E = torch.multinomial(chance_E, num_kept, generator=generator).numpy()
    ones_E = np.ones(num_kept, dtype=np.float32)
    return csr_array((ones_E, (user_E[kept_E], item_E[kept_E])), shape=train.shape)


ENTRY = Entry(
    label="FREEDOM",
    grid=tuple(
        Freedom(dropped=dropped, l2=l2) for l2, dropped in product((1e-3, 1e-2), (0.5, 0.8, 0.2))
    ),
    uses_content=True,
)
