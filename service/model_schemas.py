"""Bodies of answers about models: what is served, what is published, whether the service is ready.

Knows shapes only; the names are the public contract.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # pydantic asks for it below Python 3.12

from model.contract.canary import Outcome
from model.contract.manifest import EpochRecord
from service.schemas import Answered


class ExpertSummary(TypedDict):
    """One expert of the model."""

    name: str
    role: str
    modality: str | None
    template: dict[str, float]
    usual_weight: float


class RetrievalSummary(TypedDict):
    """How the best items are found, measured when the model was loaded."""

    method: Literal["exact", "approximate"]
    recall_at_20: Annotated[
        float, Field(description="Against the 20 best items by routing every item")
    ]
    sampled_users: int


class ModelResponse(Answered):
    """What is being served."""

    model_version: str
    created_at: datetime
    loaded_at: datetime
    age_seconds: float
    num_users: int
    num_items: int
    views: list[str]
    modalities: list[str]
    embedding_dim: int
    experts: list[ExpertSummary]
    gate_threshold: float
    retrieval: RetrievalSummary
    metrics: dict[str, float]
    data_sha256: str
    split: str
    seed: int
    best_epoch: int
    trigger_epoch: int | None
    history: Annotated[list[EpochRecord], Field(description="How training went, epoch by epoch")]
    challenger: Annotated[
        str | None, Field(description="The canary that a share of the users gets instead")
    ]


class CanaryRecord(TypedDict):
    """The latest canary: a version that serves, or served, a share of the users."""

    model_version: str
    share: float
    started_at: datetime
    ended_at: Annotated[datetime | None, Field(description="Null while it runs")]
    outcome: Annotated[
        Outcome | None,
        Field(
            description="How it ended: it went live, was stopped, was taken back because it "
            "misbehaved, or another version went live or was pinned"
        ),
    ]
    reason: Annotated[str, Field(description="Why it ended")]
    answers: Annotated[int, Field(description="That it has given, over all replicas")]


class PointersResponse(Answered):
    """What the namespace points to; a replica may still be loading the live version."""

    live: str | None
    previous: Annotated[str | None, Field(description="Live before that")]
    pinned: Annotated[str | None, Field(description="Stays live whatever is published")]
    canary: CanaryRecord | None


class ModelVersion(TypedDict):
    """One published version."""

    model_version: str
    published_at: datetime
    created_at: datetime | None
    metrics: dict[str, float]
    live: bool
    previous: bool
    pinned: bool
    canary: Annotated[bool, Field(description="Serves a share of the users")]
    usable: Annotated[
        bool, Field(description="False: its manifest is gone or damaged; publish it again")
    ]


class ModelsResponse(PointersResponse):
    """Every published version, newest first."""

    models: list[ModelVersion]


class Liveness(TypedDict):
    """The process runs."""

    status: Literal["alive"]


class Readiness(TypedDict):
    """A model is being served; `warnings` says what stands in the way of a newer one."""

    status: Literal["ready"]
    model_version: str
    loaded_from: Annotated[
        Literal["store", "disk"],
        Field(
            description="`disk`: from what this machine kept, as the store was away at the start"
        ),
    ]
    warnings: list[str]
