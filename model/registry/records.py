"""What service and training tell each other in Redis: feedback events, the latest retraining."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

EVENT_FIELD = "event"
"""The one field of an entry of the stream `KeySpace.feedback`: a `FeedbackEvent` as JSON."""

EventType = Literal[
    "impression",
    "view",
    "click",
    "play",
    "like",
    "save",
    "share",
    "cart",
    "purchase",
    "dislike",
    "hide",
    "return",
    "undo",
]
"""A closed list, so that a misspelt type is refused when it is sent, not found in training."""

SHOWN_ONLY: frozenset[EventType] = frozenset({"impression"})
"""Types that report an item shown: it does not count as seen, and is no interaction."""

TAKEN_BACK: frozenset[EventType] = frozenset({"undo"})
"""Types that take back all that the user has done with the item so far."""

EVENT_WEIGHTS: Mapping[EventType, float] = {
    "view": 0.34,
    "click": 1.0,
    "play": 1.0,
    "like": 1.0,
    "save": 1.0,
    "share": 1.0,
    "cart": 1.0,
    "purchase": 1.0,
    "dislike": -1.0,
    "hide": -1.0,
    "return": -1.0,
}
"""A user likes an item once the weights of their events on it add up to 1: one action is enough, or
three views. A negative weight takes back what came before it, and later actions take that back
(ours). Training starts from these; the service goes by them until a model has learnt the events."""

Variant = Literal["champion", "challenger"]
"""Which of two models that share the traffic made a list."""


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _full(value: object) -> object:
    """A number, also as text, does not say whether it is seconds or a day, nor in which zone."""
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        return value
    raise ValueError(
        "expected date, time and zone (RFC 3339), such as 2026-01-01T12:00:00Z or "
        "2026-01-01T13:00:00+01:00"
    )


def with_message(message: str) -> WrapValidator:
    """A validator that says what a union takes, instead of what each of its parts does not."""

    def check(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(message) from None

    return WrapValidator(check)


Moment = Annotated[AwareDatetime, BeforeValidator(_full)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class ReportedEvent(BaseModel):
    """Something that a user did, as a client reports it."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="forbid")

    event_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="Chosen by the client, unique for ever: a repeated one counts once"
    )
    user_id: Identifier
    item_id: Identifier
    type: EventType
    timestamp: Moment = Field(description="When it happened, with a time zone")
    model_version: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None, description="`model_version` of the answer that showed the item"
    )
    variant: Variant | None = Field(None, description="`variant` of that answer")
    rank: StrictInt | None = Field(
        None, ge=1, le=1_000_000, description="`rank` of the item in that answer"
    )
    request_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None, description="`request_id` of that answer"
    )


class FeedbackEvent(ReportedEvent):
    """A reported event that the service has taken in."""

    model_config = ConfigDict(extra="ignore")  # a newer service may say more

    received_at: Moment

    @classmethod
    def of(cls, reported: ReportedEvent, received_at: datetime) -> Self:
        """A reported event with its arrival; ValueError if `received_at` has no time zone."""
        return cls(**dict(reported), received_at=received_at)


class RetrainingSummary(BaseModel):
    """The latest retraining of a namespace: what the service reads of its record.

    The trainer writes more (`training.retrain.runs`); fields not named here may change freely.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="ignore")

    run_id: str
    started_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    result: Literal["promoted", "canary", "refused", "unchanged", "failed", "killed"] | None = None
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


class LogOwner(BaseModel):
    """The event log that takes the events of a namespace; JSON at `KeySpace.event_log`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    log_id: str
    place: str
    """Where its folder was when it took the namespace, for people."""
    since: AwareDatetime
