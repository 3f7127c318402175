"""What a training that runs tells of itself in Redis, for those who watch it.

Entries of the stream `KeySpace.training` have one field, an event as JSON. An event names its run,
so that two trainings at a time can be told apart, and has a number, as it may come twice. Nothing
but the picture suffers if some are lost.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

EVENT_FIELD = "event"
MOST_EVENTS = 2_000
"""Newest events of a stream that stay: at most some 2 MB. A training has about one an epoch."""
KEPT_SECONDS = 7 * 24 * 3600
"""How long the stream outlives its last event."""
SILENT_SECONDS = 30
"""A training that has not said for so long that it runs has gone."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="ignore")

    run_id: str
    number: int = Field(ge=1, description="Of the event in its run; one that comes twice keeps it")
    at: AwareDatetime


class RunBegan(_Event):
    """A training has begun."""

    kind: Literal["began"] = "began"
    what: Literal["fit", "retraining"] = Field(
        description="A training by hand or by `magnet run`, or one of the nightly ones"
    )


class StepBegan(_Event):
    """A step of the training has begun."""

    kind: Literal["step"] = "step"
    step: str = Field(
        description="`load`, `train`, `fusion`, `evaluate`, `everything` (what was held out is "
        "learnt too), `export`, `publish`; a retraining has more, see its report"
    )


class ExpertName(BaseModel):
    """An expert of the model that is trained."""

    name: str
    role: Literal["dominant", "balanced", "complementary"]


class DataRead(_Event):
    """What is learnt from."""

    kind: Literal["data"] = "data"
    users: int
    items: int
    positives: int = Field(description="In the training part")
    experts: list[ExpertName] = Field(description="In the order of `expert_shares`")


class EpochDone(_Event):
    """An epoch is done."""

    kind: Literal["epoch"] = "epoch"
    stage: Literal["encoders", "coverage", "specialisation"] = Field(
        description="The encoders learn, then the router: it covers all experts, then specialises"
    )
    everything: bool = Field(description="Whether what was held out is learnt too, unvalidated")
    epoch: int
    max_epochs: int = Field(description="It may end before, when validation stops improving")
    loss: float
    valid_ndcg20: float | None = Field(description="Null where nothing is held out")
    coverage_entropy: float = Field(description="0 to 1: whether every expert is used")
    pair_entropy: float = Field(description="0 to 1: how undecided the routing of single pairs is")
    expert_shares: list[float]
    seconds: float
    seconds_left: float = Field(description="Of these epochs, if all of them are needed")


class ModelMade(_Event):
    """A model has been written that may be published."""

    kind: Literal["model"] = "model"
    model_version: str
    epochs: int = Field(description="That are in its weights")
    valid_ndcg20: float | None
    popular_ndcg20: float | None = Field(description="What the most popular items reach there")
    early: bool = Field(description="Whether training goes on")


class RunEnded(_Event):
    """The training has ended."""

    kind: Literal["ended"] = "ended"
    result: str = Field(
        description="`finished`, `stopped` or `failed`; of a retraining its result, see `magnet "
        "status`"
    )
    reason: str = ""


TrainingEvent = RunBegan | StepBegan | DataRead | EpochDone | ModelMade | RunEnded

_EVENT: TypeAdapter[TrainingEvent] = TypeAdapter(
    Annotated[TrainingEvent, Field(discriminator="kind")]
)


def parse_event(text: str | bytes) -> TrainingEvent | None:
    """An event, or None if it is of a kind or a shape that this release does not know."""
    try:
        return _EVENT.validate_json(text)
    except ValidationError:
        return None
