"""Hyperparameters that fix a model's parameters and its scores, but not how it is trained."""

from dataclasses import dataclass
from typing import Literal

VIEWS = ("interaction", "augmented")
"""Both views, in the order of every V axis."""

BEHAVIOUR = "behaviour"
"""The modality that every model has; it comes first on every M axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnetConfig:
    """Hyperparameters that the artifact depends on."""

    modalities: tuple[str, ...]
    """`behaviour` first, then any number of content modalities."""
    embedding_dim: int = 64
    """D, per modality and view (LightGCN's usual width)."""
    num_layers: int = 2
    """Propagation steps of each view."""
    gate_threshold: float = 0.65
    """Share of the leading expert's probability below which an expert gets no weight in serving."""
    router_dim: int = 16
    """Width of the router's projections of the user and of the item."""
    temperature: float = 0.2
    """Cosines are divided by it, so a score reads as a log-odds (ours)."""
    experts: Literal["structured", "free", "average"] = "structured"
    """`free`: as many experts, without roles; `average`: one that weighs all modalities equally."""
    views: Literal["dual", "interaction"] = "dual"
    """`interaction`: the augmented view is computed but has no share in any score."""

    def __post_init__(self) -> None:
        if not self.modalities or self.modalities[0] != BEHAVIOUR:
            raise ValueError(f"modalities must start with {BEHAVIOUR!r}, got {self.modalities}")
        if len(set(self.modalities)) != len(self.modalities):
            raise ValueError(f"a modality is named twice: {self.modalities}")
        for name in ("embedding_dim", "num_layers", "router_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.gate_threshold < 1:
            raise ValueError(f"gate_threshold must be in [0, 1), got {self.gate_threshold}")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")

    @property
    def num_modalities(self) -> int:
        """M."""
        return len(self.modalities)
