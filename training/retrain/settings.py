"""The settings of a retraining: a TOML file, checked before anything happens."""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from model.registry.canary import MAX_SHARE
from model.registry.records import EVENT_WEIGHTS, SHOWN_ONLY, TAKEN_BACK, EventType
from training.errors import ExplainedError
from training.feedback.log import KEEP_DAYS, KEEP_MB
from training.fit.config import TrainingConfig


class RetrainConfigError(ExplainedError):
    """The configuration cannot be used; the message names the setting."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataSettings(_Settings):
    """The data from before the first event."""

    folder: Path
    """A data folder as for `fit`; its interactions need timestamps."""
    min_rating: float | None = None
    timestamp_unit: Literal["s", "ms"] = "s"
    """Unit of the folder's timestamps since 1970: seconds or milliseconds."""
    modalities: list[str] | None = None


class EventSettings(_Settings):
    """What feedback means, and how long it is kept."""

    weights: dict[EventType, float] = dict(EVENT_WEIGHTS)
    """A user likes an item once the weights of their events on it add up to 1, a positive of the
    data folder counting 1. A negative weight takes back what came before it, whatever its size; so
    does an `undo`, after which the item is not even seen. A type that is not named counts 0: the
    item was seen."""
    max_share: float = Field(default=0.01, gt=0, le=1)
    """Share of all user-item pairs that one user's events may make, or the events on one item that
    is in no catalogue: a tenth of what tests a model. A few pairs are always accepted."""
    known_items_only: bool = False
    """Whether only items of the item table, and those that the API has put, are accepted."""
    keep_days: int = Field(default=KEEP_DAYS, ge=1)
    keep_mb: float = Field(default=KEEP_MB, gt=0)

    @field_validator("weights")
    @classmethod
    def _done_not_shown(cls, weights: dict[EventType, float]) -> dict[EventType, float]:
        shown = sorted(SHOWN_ONLY & weights.keys())
        if shown:
            raise ValueError(f"{shown[0]!r} tells what was shown, not what was done with it")
        if TAKEN_BACK & weights.keys():
            raise ValueError("'undo' takes events back and has no weight of its own")
        return weights


class WarmStartSettings(_Settings):
    """How training goes on from the live model's weights."""

    enabled: bool = True
    max_epochs: int = Field(default=8, ge=1)
    """The weights are nearly right: few new events need few epochs."""
    patience: int = Field(default=2, ge=1)


class PromotionSettings(_Settings):
    """The promotion rules: what a candidate must reach to go live."""

    min_new_events: int = Field(default=1, ge=0)
    """Events since the live model's run. With fewer there is nothing to do."""
    min_users: int = Field(default=50, ge=1)
    """Users to judge on, overall and in a group; a smaller group is not judged. With fewer, the
    standard error of the mean is about as large as the quality itself."""
    margin: float = Field(default=0.05, ge=0, lt=1)
    """Share of the live model's NDCG@20 and Recall@20 that may be lost: about two standard errors
    of the difference on MovieLens-100K's newest tenth."""
    group_margin: float = Field(default=0.1, ge=0, lt=1)
    """`margin` for tail items and sparse users, whose figures vary more."""
    min_utilisation: float = Field(default=0.5, ge=0, le=1)
    """Entropy of the mean routing over log K: half means that of nine experts fewer than about
    three share the work."""


class CanarySettings(_Settings):
    """How a model that meets the promotion rules is tried on some users before it goes live."""

    share: float = Field(default=0.0, ge=0, le=MAX_SHARE)
    """Share of the users; 0: it goes live immediately."""
    min_minutes: float = Field(default=720.0, ge=0)
    """How long it must be served before a run promotes it: half a day, so that a nightly run finds
    it ready, after the hours in which most people come."""
    min_answers: int = Field(default=500, ge=1)
    """How many answers it must have given: if it fails for 2 % of the users, that is ten times."""
    if_better: bool = False
    """Whether its users must also click more often than the others, as `experiment` judges."""


class RetrainConfig(_Settings):
    """One retraining. Relative paths are relative to where it is run."""

    state: Path
    """Where the event log, the runs and their models are kept; on a persistent volume."""
    redis_url: str = "redis://localhost:6379/0"
    namespace: str = "default"
    lock_seconds: float = Field(default=60.0, gt=0)
    """How long a run that was killed blocks the next; a running one renews its lock."""
    keep_versions: int = Field(default=3, ge=1)
    """Newest versions that stay in Redis; live, previous, pinned and canary always do."""
    keep_runs: int = Field(default=5, ge=1)
    """Newest runs whose models stay on disk, besides those of the versions that always stay."""
    data: DataSettings
    events: EventSettings = EventSettings()
    training: TrainingConfig = TrainingConfig()
    warm_start: WarmStartSettings = WarmStartSettings()
    gate: PromotionSettings = PromotionSettings()
    canary: CanarySettings = CanarySettings()


def read_config(path: Path, overrides: dict[str, object]) -> RetrainConfig:
    """Read a file; `overrides` are settings by dotted name, None to leave the file's.

    Raises:
        RetrainConfigError: it cannot be read, or a setting is unknown or out of range.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RetrainConfigError(f"{path} cannot be read: {error}") from error
    for name, value in overrides.items():
        if value is not None:
            *tables, last = name.split(".")
            table = settings
            for each in tables:
                table = table.setdefault(each, {})
            table[last] = value
    try:
        return RetrainConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise RetrainConfigError(
            f"{path}: {place}: {first['msg']} (docs/lifecycle.md lists the settings)"
        ) from error
