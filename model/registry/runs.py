"""The latest retraining: the part of the trainer's record in Redis that the service reads.

The trainer writes more (`training.retrain.runs`); fields not named here may change freely.
"""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

RetrainingResult = Literal["promoted", "canary", "refused", "unchanged", "failed", "killed"]


class RetrainingSummary(BaseModel):
    """The latest run of one namespace."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: str
    started_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    result: RetrainingResult | None = None
    """None while it runs, or if it was killed and nobody has noticed."""
    reason: str = ""
    data: dict[str, int] = {}
    """Rows by what they are."""
    last_promoted_at: AwareDatetime | None = None
    """When a run last promoted a model, this one included."""

    @property
    def duration_seconds(self) -> float | None:
        """How long it took; None while it runs."""
        if self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()
