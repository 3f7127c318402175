"""Bodies of answers about models: versions, canaries, reports, experiments and trainings."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from model.artifact.manifest import EpochRecord
from model.artifact.report import ModelReport
from model.registry.canary import Outcome
from model.registry.experiment import Comparison, Interval, Verdict
from service.schemas.paging import NextCursor
from service.schemas.responses import Answered


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
    recall_at_20: Annotated[float, Field(description="Against routing every item")]
    sampled_users: int


HasReport = Annotated[bool, Field(description="Whether `/v1/models/{version}/report` is there")]


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
    early: Annotated[bool, Field(description="The best so far of a training that went on")]
    report: HasReport
    challenger: Annotated[str | None, Field(description="The canary's version, while one runs")]


class CanaryRecord(TypedDict):
    """The latest canary: a version that serves, or served, a share of the users."""

    model_version: str
    share: float
    started_at: datetime
    ended_at: Annotated[datetime | None, Field(description="Null while it runs")]
    outcome: Annotated[Outcome | None, Field(description="How it ended; null while it runs")]
    reason: Annotated[str, Field(description="Why it ended")]
    answers: Annotated[int, Field(description="How many it has given, over all replicas")]


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
    early: Annotated[bool, Field(description="The best so far of a training that went on")]
    report: HasReport
    usable: Annotated[bool, Field(description="False: manifest lost or damaged; publish it again")]


class ReportResponse(Answered):
    """What a model has learnt."""

    model_version: str
    report: ModelReport


class ModelsResponse(PointersResponse):
    """Published versions, newest first."""

    models: list[ModelVersion]
    warnings: Annotated[list[str], Field(description="What is wrong with the list in Redis")]
    next_cursor: NextCursor


class VariantCounts(TypedDict):
    """What was counted for one variant, over all replicas, since `counted_since`."""

    model_version: Annotated[str | None, Field(description="Null before anything was counted")]
    lists: Annotated[int, Field(description="Lists answered to its users")]
    lists_clicked: Annotated[int, Field(description="Of these, lists with a click or more")]
    lists_purchased: Annotated[int, Field(description="Of these, lists with a purchase")]
    users: Annotated[int, Field(description="Users who were answered a list")]
    users_clicked: Annotated[int, Field(description="Of these, users with a click or more")]
    users_purchased: Annotated[int, Field(description="Of these, users with a purchase")]
    click_rate: Annotated[float | None, Field(description="Of its users; null without any")]
    purchase_rate: Annotated[float | None, Field(description="Of its users; null without any")]
    list_click_rate: Annotated[float | None, Field(description="Of its lists; null without any")]


class ExperimentResponse(Answered):
    """How a canary's users respond beside the others; the comparison is of users who clicked."""

    share: Annotated[float, Field(description="Of the users who get the challenger")]
    started_at: datetime
    ended_at: Annotated[datetime | None, Field(description="Null while it runs")]
    outcome: Annotated[Outcome | None, Field(description="How it ended; null while it runs")]
    counted_since: Annotated[
        datetime | None, Field(description="A new share begins a new count; null before one")
    ]
    champion: VariantCounts
    challenger: VariantCounts
    difference: Annotated[
        float | None, Field(description="Challenger's click rate less the champion's")
    ]
    interval: Annotated[
        Interval | None, Field(description="95 %, for one look at a time that was set before")
    ]
    always_valid_interval: Annotated[
        Interval | None,
        Field(description="95 %, however often one looks; null with too few clicks"),
    ]
    p_value: Annotated[float, Field(description="Always valid; 1 while nothing can be said")]
    verdict: Verdict
    users_needed: Annotated[
        int | None,
        Field(description="More users that would settle it at these rates; null: nobody can say"),
    ]
    summary: Annotated[str, Field(description="The verdict in plain words")]
    purchases: Annotated[
        Comparison, Field(description="The same for users who purchased, for information")
    ]


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
