"""What one retraining did: kept beside its model, and in Redis for the service's metrics.

Knows fields; knows nothing about how they came about.
"""

from datetime import UTC, datetime
from typing import Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict

from model.contract.manifest import EpochRecord
from training.evaluation import Evaluation
from training.retrain.gate import Rule

Result = Literal["promoted", "canary", "refused", "unchanged", "failed", "killed"]


class ChangedList(BaseModel):
    """What a user's first ten would gain and lose: titles, or ids of items without one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: str
    gone: list[str]
    came: list[str]


class RunRecord(BaseModel):
    """One run, as far as it has come."""

    model_config = ConfigDict(extra="forbid")

    run_id: str
    namespace: str
    started_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    step: str = "begin"
    """The step that it is at, or ended in."""
    result: Result | None = None
    """None while it runs, or if it was killed and no later run has noticed."""
    reason: str = ""
    champion: str | None = None
    """The version that was live when it began."""
    comparable: str = ""
    """Why the champion could not be compared or gone on from; empty if it could."""
    warm: bool = False
    version: str | None = None
    """What it made, live or not."""
    live: bool = False
    """Whether the pointer was moved to it."""
    inputs: str = ""
    """Digest of the data folder and of the settings: with it and no new events, nothing is new."""
    events: int = 0
    """In the log."""
    newest_event: AwareDatetime | None = None
    """When the newest of them was received."""
    new_events: int = 0
    """Of those, since the champion's run."""
    data: dict[str, int] = {}
    """Rows by what they are, users and items."""
    density: float | None = None
    """Share of all user-item combinations that are positive."""
    rejected: dict[str, int] = {}
    """Entries and events that cannot be used, by reason."""
    rules: list[Rule] = []
    metrics: dict[str, dict[str, float]] = {}
    """Of `challenger`, `champion` and `popular`: flat names as in the manifest."""
    seconds: dict[str, float] = {}
    """By step."""
    peak_mb: float = 0.0
    """MB (10^6 bytes) of memory."""
    history: list[EpochRecord] = []
    experts: list[str] = []
    """In the order of the history's shares."""
    changed: list[ChangedList] = []
    """Examples, the live model against the new one."""
    best_epoch: int = 0
    trigger_epoch: int | None = None
    last_promoted_at: AwareDatetime | None = None
    """When a run last promoted a model in this namespace, this one included."""

    def end(self, result: Result, reason: str) -> None:
        """Set what came of it."""
        self.result, self.reason = result, reason
        self.finished_at = datetime.now(UTC)
        if result == "promoted":
            self.last_promoted_at = self.finished_at


def flat_metrics(evaluation: Evaluation) -> dict[str, float]:
    """`ndcg@20`, `tail items/ndcg@20`, ..., and how many users."""
    flat = {"users": float(len(evaluation.users)), **evaluation.metrics}
    for group, values in evaluation.groups.items():
        flat |= {f"{group}/{name}": value for name, value in values.items()}
    return {name: value for name, value in flat.items() if np.isfinite(value)}
