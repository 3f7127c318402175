"""Settings of one training run; every default is one value for all data sets.

Knows names, ranges and defaults; where a default comes from stands beside it.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from model.network.config import MagnetConfig
from model.network.schedule import Switch


class TrainingConfig(BaseModel):
    """Hyperparameters of the model and of its training."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = 0
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, ... or `auto` for CUDA where there is one."""

    embedding_dim: int = Field(default=64, ge=1)
    num_layers: int = Field(default=2, ge=1)
    gate_threshold: float = Field(default=0.65, ge=0, lt=1)
    router_dim: int = Field(default=16, ge=1)
    temperature: float = Field(default=0.2, gt=0)
    experts: Literal["structured", "free", "average"] = "structured"
    views: Literal["dual", "interaction"] = "dual"

    start: Literal["spectral", "random"] = "spectral"
    """Where behaviour embeddings start: at the leading directions of the interactions, or
    anywhere."""
    neighbourhood: bool = True
    """Whether single items may speak for others beside embeddings; how loudly, validation says."""

    max_epochs: int = Field(default=100, ge=1)
    patience: int = Field(default=10, ge=1)
    """Epochs without a better validation NDCG@20 after which the specialisation stage stops. A
    coverage stage that has not settled by then gives way to it."""
    batch_size: int = Field(default=4096, ge=1)
    """Most positives of a step. Where there are fewer users, half as many as users, but at least
    256: more positives of the same users say little that is new."""
    max_steps: int = Field(default=64, ge=1)
    """Most steps of an epoch. A step propagates the whole graph: data too large for so many get
    larger batches, so that an epoch's cost grows linearly with interactions."""
    recency_power: float = Field(default=0.75, ge=0)
    """A history item that is followed by n others counts (1 + n)^-power, where time is known."""
    user_damping: float = Field(default=0.7, ge=0)
    """A user's positives are drawn in proportion to (their number)^-user_damping; 0 is equally."""
    longest_history: int = Field(default=100, ge=1)
    """Most history items that a positive is trained from."""
    negatives: int | None = Field(default=None, ge=1)
    """Random items shared by a batch as negatives; None for one out of forty items, but 256 at
    least and 1,024 at most: among many items, few negatives leave too much unsaid
    (docs/research-log.md)."""
    popularity_power: float = Field(default=0.5, ge=0)
    """Negatives are drawn in proportion to (1 + their positives)^popularity_power."""
    cold_rate: float = Field(default=0.2, ge=0, lt=1)
    """Share of a step's positives and negatives that are shown as if nobody had chosen them."""
    learning_rate: float = Field(default=5e-3, gt=0)
    settled_learning_rate: float = Field(default=1e-3, gt=0)
    """Of the encoders in the second stage: the router specialises on embeddings that hold still."""
    router_learning_rate: float = Field(default=5e-4, gt=0)
    """A tenth of the encoders': a router at full speed overfits at once."""
    router_weight_decay: float = Field(default=0.05, ge=0)
    average_decay: float = Field(default=0.998, ge=0, lt=1)
    """Per step, of the moving average of the weights, which is what is validated and served."""
    l2: float = Field(default=1e-4, ge=0)
    """On the initial embeddings of the batch's users and items (LightGCN's value)."""

    ranking_loss: Literal["sampled-softmax", "bpr"] = "sampled-softmax"
    view_alignment: float = Field(default=0.01, ge=0)
    """Contrast between the two views of an item."""
    modality_alignment: float = Field(default=0.03, ge=0)
    """Contrast between an item's behaviour and each of its content modalities."""
    view_regulariser: float = Field(default=0.01, ge=0)
    """On the squared logit of the view gate: equal shares unless evidence says otherwise."""
    coverage_weight: float = Field(default=3.0, ge=0)
    """On utilisation below its aim: all of it at first, its floor in the second stage."""
    stage_switch: Switch = "entropy"
    """What starts the second stage: the entropy trigger, a number of epochs, or nothing ever."""
    specialisation_weight: float = Field(default=0.2, ge=0)
    """On the entropy of single pairs; small: evidence makes them sure, not this term."""

    def magnet(self, modalities: tuple[str, ...]) -> MagnetConfig:
        """The part that fixes the model's shape."""
        return MagnetConfig(
            modalities=modalities,
            embedding_dim=self.embedding_dim,
            num_layers=self.num_layers,
            gate_threshold=self.gate_threshold,
            router_dim=self.router_dim,
            temperature=self.temperature,
            experts=self.experts,
            views=self.views,
        )
