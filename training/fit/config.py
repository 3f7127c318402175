"""Settings of one training run; every default is one value for all data sets."""

from dataclasses import fields
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from model.artifact.manifest import HeldOut
from model.network.config import MagnetConfig
from model.network.schedule import Switch

SAMPLED_FROM = 2**21
"""Training positives above which propagation is sampled: a step over all of them would spend most
of its time on that (docs/scaling.md)."""


class TrainingConfig(BaseModel):
    """Hyperparameters of the model and of its training."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = 0
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, ... or `auto`: CUDA if there is a GPU, else the CPU."""

    embedding_dim: int = Field(default=64, ge=1)
    num_layers: int = Field(default=2, ge=1)
    gate_threshold: float = Field(default=0.65, ge=0, lt=1)
    router_dim: int = Field(default=16, ge=1)
    temperature: float = Field(default=0.2, gt=0)
    experts: Literal["structured", "free", "average"] = "structured"
    views: Literal["dual", "interaction"] = "dual"

    start: Literal["spectral", "random"] = "spectral"
    """Where behaviour embeddings start: at the leading directions of the interactions or at
    random."""
    neighbourhood: bool = True
    """Whether to add an item-item model to embeddings; validation chooses its weight."""

    max_epochs: int = Field(default=100, ge=1)
    patience: int = Field(default=4, ge=1)
    """Epochs without a better validation NDCG@20 after which a modality's encoder stops, after
    which specialisation stops, or after which it starts if coverage has not settled by then."""
    user_trust: float = Field(default=5.0, gt=0)
    """Positives at which a user's free part counts half; it counts n / (n + user_trust)."""
    user_dropout: float = Field(default=0.5, ge=0, le=1)
    """Share of positives that are predicted without the user's free part, as for a session."""
    batch_size: int = Field(default=4096, ge=1)
    """Most positives of a step. With fewer users, half as many as users, but at least 256: more
    positives of the same users tell little that is new."""
    propagation: Literal["auto", "whole", "sampled"] = "auto"
    """Whether a step goes over all interactions or over a few neighbours of every item; `auto`:
    sampled with more than `SAMPLED_FROM` training positives (ADR 49)."""
    max_steps: int = Field(default=64, ge=1)
    """Most steps of an epoch where each propagates the whole graph: larger data get larger batches
    instead of more steps, and an epoch's cost grows linearly with interactions."""
    recency_power: float = Field(default=0.75, ge=0)
    """A history item followed by n others has the weight (1 + n)^-power, if times are known."""
    user_damping: float = Field(default=0.7, ge=0)
    """A user's positives are drawn in proportion to (their number)^-user_damping; 0 is equally."""
    longest_history: int = Field(default=100, ge=1)
    """Most history items that a positive is trained from."""
    negatives: int | None = Field(default=None, ge=1)
    """Random items shared by a batch as negatives; None for one out of forty items, but 256 at
    least and 1,024 at most: more items need more negatives (docs/research-log.md)."""
    popularity_power: float = Field(default=0.5, ge=0)
    """Negatives are drawn in proportion to (1 + their positives)^popularity_power."""
    cold_rate: float = Field(default=0.2, ge=0, lt=1)
    """Share of a step's positives and negatives that are masked as if nobody had chosen them."""
    learning_rate: float = Field(default=5e-3, gt=0)
    """Of the encoders, and of the experts' templates after them."""
    settled_learning_rate: float = Field(default=1e-3, gt=0)
    """The same where training goes on from a trained model."""
    router_learning_rate: float = Field(default=5e-4, gt=0)
    """Of what the router learns about single pairs, a tenth of the others': at their rate it
    overfits at once (docs/adr/0060)."""
    router_weight_decay: float = Field(default=0.05, ge=0)
    average_decay: float = Field(default=0.998, ge=0, lt=1)
    """Per step, of the moving average of the weights, which is validated and served."""
    l2: float = Field(default=1e-4, ge=0)
    """On the initial embeddings of the batch's users and items (LightGCN's value)."""

    held_out: HeldOut = "trained"
    """What the served model learns from the validation and test positives, once they have chosen
    and measured it: `unseen` nothing, `encoded` without training, `trained` with some (ADR 25)."""

    ranking_loss: Literal["sampled-softmax", "bpr"] = "sampled-softmax"
    view_alignment: float = Field(default=0.01, ge=0)
    """Contrast between the two views of an item."""
    modality_alignment: float = Field(default=0.03, ge=0)
    """Contrast between an item's behaviour and each of its content modalities."""
    coverage_weight: float = Field(default=3.0, ge=0)
    """On utilisation below its target: 1 at first, its floor in the router's second stage."""
    stage_switch: Switch = "entropy"
    """What starts the router's second stage: the entropy trigger, a number of its epochs, or
    `never`."""
    specialisation_weight: float = Field(default=0.2, ge=0)
    """On the entropy of single pairs; small, because evidence should lower it, not this term."""

    def samples(self, positives: int) -> bool:
        """Whether steps sample the propagation over so many training positives."""
        if self.propagation == "auto":
            return positives > SAMPLED_FROM
        return self.propagation == "sampled"

    def magnet(self, modalities: tuple[str, ...]) -> MagnetConfig:
        """The part that fixes the model's shape."""
        own = self.model_dump(include={field.name for field in fields(MagnetConfig)})
        return MagnetConfig(modalities=modalities, **own)
