"""Bodies and parameters of requests; the names are the public contract.

Knows shapes and limits that hold for every model; knows nothing about any model.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from model.registry.canary import MAX_SHARE
from model.registry.events import Identifier, ReportedEvent

MAX_SESSION = 1000
MAX_LIST = 10_000
MAX_BATCH = 100
MAX_EVENTS = 1000

DIVERSITY = (
    "0: best first; above, each next item is also unlike those before it (maximal marginal "
    "relevance over the best items, by all modalities); 1: unlikeness alone"
)

Id = Identifier
Detail = Literal["none", "experts", "full"]


class RecommendationParams(BaseModel):
    """Query parameters of a user's recommendations."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(10, ge=1, description="How many items")
    offset: int = Field(0, ge=0, description="How many better items to skip, for paging")
    exclude_seen: bool = Field(True, description="Leave out what the user has interacted with")
    category: list[str] = Field([], max_length=100, description="Only items in any of these")
    diversity: float = Field(0.0, ge=0, le=1, description=DIVERSITY)


_SOMEONE: dict[str, JsonValue] = {
    "anyOf": [
        {"required": ["user_id"], "properties": {"user_id": {"type": "string"}}},
        {"required": ["session_items"], "properties": {"session_items": {"minItems": 1}}},
    ]
}
"""In the words of JSON Schema what `_ForSomeone` checks."""


class _ForSomeone(BaseModel):
    """For a user, a session, or a user in a session."""

    user_id: Id | None = Field(None, description="Whom; may be left out if there is a session")
    session_items: list[Id] = Field(
        [],
        max_length=MAX_SESSION,
        description="What she has just looked at, oldest first: the newest counts most. For a "
        "known user, her history and the session count one half each",
    )

    @model_validator(mode="after")
    def _someone(self) -> Self:
        if self.user_id is None and not self.session_items:
            raise ValueError("give user_id, session_items or both")
        return self


class RecommendationRequest(_ForSomeone):
    """Whom to recommend to, out of what, and how much to explain."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            **_SOMEONE,
            "examples": [
                {"user_id": "196", "k": 5},
                {"session_items": ["50", "172"], "k": 5, "explain": "full"},
            ],
        },
    )

    k: int = Field(10, ge=1, description="How many items")
    offset: int = Field(0, ge=0, description="How many better items to skip, for paging")
    exclude_seen: bool = Field(
        True, description="Leave out the session's items and what the user has interacted with"
    )
    candidates: list[Id] | None = Field(
        None, max_length=MAX_LIST, description="Only these items; null for the whole catalogue"
    )
    exclude: list[Id] = Field([], max_length=MAX_LIST, description="None of these items")
    categories: list[str] = Field([], max_length=100, description="Only items in any of these")
    diversity: float = Field(0.0, ge=0, le=1, description=DIVERSITY)
    explain: Detail = Field(
        "experts",
        description="`none`; `experts`: the contribution of each; `full`: by modality and view too",
    )


class ScoreRequest(_ForSomeone):
    """A list that the caller brings, to be ranked for someone."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            **_SOMEONE,
            "examples": [{"user_id": "196", "items": ["242", "302"]}],
        },
    )

    items: list[Id] = Field(
        min_length=1, max_length=MAX_LIST, description="What to rank, all of it"
    )
    explain: Detail = Field("experts", description="As for recommendations")

    def recommendation(self) -> RecommendationRequest:
        """The request for recommendations whose answer is the ranked list."""
        return RecommendationRequest(
            user_id=self.user_id,
            session_items=self.session_items,
            candidates=self.items,
            k=len(self.items),
            exclude_seen=False,
            explain=self.explain,
        )


class ExplanationRequest(_ForSomeone):
    """Whose score of which item to take apart."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            **_SOMEONE,
            "examples": [{"session_items": ["50", "172"], "item_id": "242"}],
        },
    )

    item_id: Id


class ItemSearch(BaseModel):
    """Query parameters of a look into the catalogue."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field("", max_length=256, description="A part of the title, in any case")
    category: list[str] = Field([], max_length=100, description="Only items in any of these")
    offset: int = Field(0, ge=0, description="How many items to skip, for paging")
    limit: int = Field(20, ge=1, le=1000, description="Most items")


class ItemLookup(BaseModel):
    """Items that the caller can name."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"item_ids": ["242", "302"]}]}
    )

    item_ids: list[Id] = Field(min_length=1, max_length=1000)


class BatchRequest(BaseModel):
    """Several requests in one; each is answered as if it were alone."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"requests": [{"user_id": "196", "k": 3}, {"session_items": ["50"]}]}]
        },
    )

    requests: list[RecommendationRequest] = Field(min_length=1, max_length=MAX_BATCH)


class FeedbackRequest(BaseModel):
    """What users did, in any order."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {
                            "event_id": "a1",
                            "user_id": "196",
                            "item_id": "242",
                            "type": "click",
                            "timestamp": "2026-01-01T12:00:00Z",
                            "rank": 1,
                        }
                    ]
                }
            ]
        },
    )

    events: list[ReportedEvent] = Field(min_length=1, max_length=MAX_EVENTS)


class AvailabilityRequest(BaseModel):
    """Whether an item may be shown."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"available": False}]}
    )

    available: bool


class ActivationRequest(BaseModel):
    """How a version becomes live."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"pin": True}]}
    )

    pin: bool = Field(
        True, description="Keep it live whatever is published; false takes an earlier pin away"
    )


class CanaryRequest(BaseModel):
    """How many users a version is to serve."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"share": 0.05}]}
    )

    share: float = Field(gt=0, le=MAX_SHARE, description="Of the users")
