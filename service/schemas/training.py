"""What a service tells of a training, beside what the training tells of itself."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class ServedModel(BaseModel):
    """The model that this replica serves from now on."""

    kind: Literal["served"] = "served"
    model_version: str
    created_at: datetime
    epochs: int = Field(description="That are in its weights")
    early: bool = Field(description="The best so far of a training that went on")
    valid_ndcg20: float | None
    better: bool | None = Field(
        description="Whether it is better on validation than the model before; null for the first "
        "of a stream, and if they cannot be compared"
    )


class TrainingStatus(BaseModel):
    """Whether a training runs, as far as Redis says."""

    kind: Literal["status"] = "status"
    running: bool | None = Field(description="Null while Redis is away")
    warnings: list[str] = []
