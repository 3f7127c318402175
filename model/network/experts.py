"""Structured experts: templates of weights over modalities, learnt within the bounds of a role.

Role names are from arXiv:2602.20723. The bounded parametrisation is ours: the role holds whatever
the parameters, so no penalty and no projection step is needed. Letters: K experts, M modalities.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Role = Literal["dominant", "balanced", "complementary"]
ROLES: tuple[Role, ...] = get_args(Role)
DOMINANT_RANGE = (0.5, 0.9)
"""A dominant expert's weight on its modality; above one half it is always the largest."""
SPREAD_RATIO = 2.0
"""Largest over smallest weight among an expert's other modalities."""
BALANCED_RATIO = 1.5
"""Largest over smallest weight of a balanced expert."""


@dataclass(frozen=True, slots=True)
class Expert:
    """One expert; `modality` is the one that its role favours, leans to or weighs least."""

    role: Role
    modality: str

    @property
    def name(self) -> str:
        """Public name, such as `dominant_text`."""
        return f"{self.role}_{self.modality}"


def structured_experts(modalities: tuple[str, ...]) -> tuple[Expert, ...]:
    """One expert of each role per modality, where the role means something.

    With two modalities, complementary(a) would repeat dominant(b), so it is left out; with one,
    every template is the same single weight, so one dominant expert stands for all.
    """
    used = {1: ROLES[:1], 2: ROLES[:2]}.get(len(modalities), ROLES)
    return tuple(Expert(role, modality) for role in used for modality in modalities)


class ExpertTemplates(nn.Module):
    """Templates [K, M] of the structured experts; every row sums to 1 and keeps its role.

    - dominant(m): weight on m within `DOMINANT_RANGE`, the largest.
    - complementary(m): weight on m never above the smallest of the others.
    - balanced: largest over smallest at most `BALANCED_RATIO`; each starts with a slight lean to
      its modality, so that the balanced experts do not stay copies of each other.
    """

    def __init__(self, modalities: tuple[str, ...]) -> None:
        super().__init__()
        self.experts = structured_experts(modalities)
        num_modalities = len(modalities)
        lean_KM = torch.zeros(len(self.experts), num_modalities)
        for k, expert in enumerate(self.experts):
            if expert.role == "balanced":
                lean_KM[k, modalities.index(expert.modality)] = 0.5
        self.own_K = nn.Parameter(torch.zeros(len(self.experts)))
        self.lean_KM = nn.Parameter(lean_KM)
        named_KM = torch.tensor([[e.modality == m for m in modalities] for e in self.experts])
        self.register_buffer("named_KM", named_KM, persistent=False)
        role_K = [ROLES.index(expert.role) for expert in self.experts]
        self.register_buffer("role_K", torch.tensor(role_K), persistent=False)
        smallest_rest = 1 / (1 + SPREAD_RATIO * max(1, num_modalities - 2))
        self._complementary_max = smallest_rest / (1 + smallest_rest)

    named_KM: Tensor
    role_K: Tensor

    def forward(self) -> Tensor:
        """Templates [K, M]."""
        if self.named_KM.shape[1] == 1:
            return torch.ones_like(self.lean_KM)
        low, high = DOMINANT_RANGE
        open_K = torch.sigmoid(self.own_K)
        own_K = torch.where(
            self.role_K == 0, low + (high - low) * open_K, self._complementary_max * open_K
        )
        spread_KM = _bounded_softmax(
            self.lean_KM.masked_fill(self.named_KM, -math.inf), SPREAD_RATIO
        )
        named_KM = torch.where(self.named_KM, own_K[:, None], (1 - own_K[:, None]) * spread_KM)
        balanced_KM = _bounded_softmax(self.lean_KM, BALANCED_RATIO)
        return torch.where((self.role_K == 1)[:, None], balanced_KM, named_KM)


class FreeTemplates(ExpertTemplates):
    """As many experts, starting alike, without bounds: roles are names only."""

    def __init__(self, modalities: tuple[str, ...]) -> None:
        super().__init__(modalities)
        self.logit_KM = nn.Parameter(super().forward().detach().log())

    def forward(self) -> Tensor:
        """Templates [K, M]."""
        return self.logit_KM.softmax(-1)


class AverageTemplate(ExpertTemplates):
    """One expert that weighs all modalities equally."""

    def __init__(self, modalities: tuple[str, ...]) -> None:
        super().__init__(modalities)
        self.experts = (Expert("balanced", modalities[0]),)
        self.register_buffer(
            "even_KM", torch.full((1, len(modalities)), 1 / len(modalities)), persistent=False
        )

    even_KM: Tensor

    def forward(self) -> Tensor:
        """Templates [K, M]."""
        return self.even_KM


def _bounded_softmax(logit_KM: Tensor, ratio: float) -> Tensor:
    """Softmax whose largest weight is at most `ratio` times its smallest; -inf is left out."""
    half = 0.5 * math.log(ratio)
    bounded_KM = torch.where(logit_KM.isneginf(), logit_KM, half * torch.tanh(logit_KM))
    return bounded_KM.softmax(-1)
