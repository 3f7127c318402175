"""VBPR: matrix factorisation whose items also have a linear image of their content.

Letters: B pairs of a batch, U users, I items, D free dimensions, C content dimensions, F width of
the features.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from training.data.dataset import Dataset
from training.experiments.baselines.base import Entry
from training.experiments.baselines.factors import (
    FactorBaseline,
    FactorModel,
    Step,
    content_features,
    embedding,
    pair_bpr,
    squared_norm,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VBPR(FactorBaseline):
    """Settings of one run. Ref: He and McAuley, AAAI 2016, Eq. 4 to 7.

    score(u, i) = b_i + gamma_u . gamma_i + theta_u . (E f_i) + b' . f_i, with all modalities side
    by side in f_i; the user's bias changes no ranking.
    """

    free_dim: int = 32
    content_dim: int = 32
    l2: float
    """L2 penalty on the parameters that the batch's pairs use, and on E and b'."""

    def model(self, dataset: Dataset, generator: torch.Generator) -> FactorModel:
        """Freshly initialised; BaselineError without content."""
        return _VBPR(self, dataset, generator)


class _VBPR(FactorModel):
    def __init__(self, config: VBPR, dataset: Dataset, generator: torch.Generator) -> None:
        super().__init__()
        num_users, num_items = dataset.train.shape
        features = np.concatenate([*content_features(dataset, "VBPR").values()], axis=1)
        self.l2 = config.l2
        self.feature_IF = torch.from_numpy(features) / features.shape[1] ** 0.5
        self.user_UD = embedding(num_users, config.free_dim, generator)
        self.item_ID = embedding(num_items, config.free_dim, generator)
        self.user_content_UC = embedding(num_users, config.content_dim, generator)
        self.projection_FC = embedding(features.shape[1], config.content_dim, generator)
        self.bias_I1 = nn.Parameter(torch.zeros(num_items, 1))
        self.content_bias_F1 = nn.Parameter(torch.zeros(features.shape[1], 1))

    def factors(self) -> tuple[Tensor, Tensor]:
        """Free, content and bias parts side by side."""
        one_U1 = torch.ones(len(self.user_UD), 1)
        everyone, every_item = torch.arange(len(self.user_UD)), torch.arange(len(self.item_ID))
        return torch.cat([self._user(everyone), one_U1], dim=1), self._item(every_item)

    def loss(self, step: Step) -> Tensor:
        """BPR and L2."""
        user_BD = torch.cat([self._user(step.user_B), torch.ones(len(step.user_B), 1)], dim=1)
        positive_B = (user_BD * self._item(step.item_B)).sum(1)
        negative_B = (user_BD * self._item(step.negative_N)).sum(1)
        ranking = pair_bpr(positive_B, negative_B, step.known)
        used = squared_norm(
            self._user(step.user_B),
            self.item_ID[step.item_B],
            self.item_ID[step.negative_N],
            self.bias_I1[step.item_B],
            self.bias_I1[step.negative_N],
        )
        shared = 0.5 * (self.projection_FC.square().sum() + self.content_bias_F1.square().sum())
        return ranking + self.l2 * (used + shared)

    def _user(self, user_B: Tensor) -> Tensor:
        return torch.cat([self.user_UD[user_B], self.user_content_UC[user_B]], dim=1)

    def _item(self, item_B: Tensor) -> Tensor:
        feature_BF = self.feature_IF[item_B]
        bias_B1 = self.bias_I1[item_B] + feature_BF @ self.content_bias_F1
        return torch.cat([self.item_ID[item_B], feature_BF @ self.projection_FC, bias_B1], dim=1)


ENTRY = Entry(label="VBPR", grid=tuple(VBPR(l2=l2) for l2 in (1e-1, 1e-2, 1.0)), uses_content=True)
