"""Bodies and parameters of requests; the names are the public contract."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from model.registry.canary import MAX_SHARE
from model.registry.items import (
    MAX_ATTRIBUTES,
    MAX_CATEGORIES,
    ItemContent,
    Name,
    Value,
    Vector,
)
from model.registry.records import Identifier, ReportedEvent
from service.schemas.bodies import Body, Whole, shown
from service.schemas.paging import MOST, GivenCursor
from service.schemas.rules import MAX_BOOSTS, Boost, Rules

MAX_SESSION = 1000
MAX_LIST = 10_000
MAX_BATCH = 100
MAX_EVENTS = 1000
MAX_LINES = 10_000

Id = Identifier
Detail = Literal["none", "experts", "full"]
K = Annotated[int, Field(ge=1, description="How many items")]
Offset = Annotated[int, Field(ge=0, description="How many better items to skip, for paging")]
Categories = Annotated[list[str], Field(max_length=100, description="Only items in any of these")]
DefaultRules = Annotated[bool, Field(description="Whether the rules of `PUT /v1/rules` hold too")]
Diversity = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="0: best first; 1: as different as possible (maximal marginal relevance)",
    ),
]


class RecommendationParams(Whole):
    """Query parameters of a user's recommendations."""

    k: K = 10
    offset: Offset = 0
    exclude_seen: bool = Field(True, description="Leave out what the user has interacted with")
    category: Categories = Field([])
    diversity: Diversity = 0.0
    default_rules: DefaultRules = True


_SOMEONE: list[JsonValue] = [
    {"required": ["user_id"], "properties": {"user_id": {"type": "string"}}},
    {"required": ["session_items"], "properties": {"session_items": {"minItems": 1}}},
]
"""JSON Schema's alternatives for what `_ForSomeone` checks."""


class _ForSomeone(Body):
    """For a user, a session, or a user in a session."""

    user_id: Id | None = Field(None, description="Whom; may be left out if there is a session")
    session_items: list[Id] = Field(
        [],
        max_length=MAX_SESSION,
        description="What they just looked at, oldest first: the newest counts most. For a known "
        "user, their history and the session count one half each",
    )
    without_modalities: list[str] = Field(
        [],
        max_length=100,
        description="Modalities of `GET /v1/model` that are left out: scores are as if they said "
        "nothing of whom this is for",
    )
    model_version: str | None = Field(
        None,
        max_length=256,
        description="A version that is served, live or as a canary, whichever of them the user "
        "gets otherwise: to compare both",
    )

    @model_validator(mode="after")
    def _someone(self) -> Self:
        if self.user_id is None and not self.session_items:
            raise ValueError("give user_id, session_items or both")
        return self


class RecommendationRequest(_ForSomeone, Rules):
    """Whom to recommend to, out of what, by which rules, and how much to explain."""

    model_config = shown(
        {"user_id": "196", "k": 5},
        {"session_items": ["50", "172"], "k": 5, "explain": "full"},
        {
            "user_id": "196",
            "k": 5,
            "filters": [{"attribute": "year", "op": ">=", "value": 1990}],
            "pins": [{"item_id": "50", "rank": 1}],
        },
        anyOf=_SOMEONE,
    )

    k: K = 10
    offset: Offset = 0
    exclude_seen: bool = Field(
        True, description="Leave out the session's items and what the user has interacted with"
    )
    candidates: list[Id] | None = Field(
        None, max_length=MAX_LIST, description="Only these items; null for the whole catalogue"
    )
    exclude: list[Id] = Field([], max_length=MAX_LIST, description="None of these items")
    categories: Categories = Field([])
    diversity: Diversity = 0.0
    default_rules: DefaultRules = True
    explain: Detail = Field(
        "experts",
        description="`none`; `experts`: the contribution of each; `full`: by modality and view too",
    )


class ScoreRequest(_ForSomeone):
    """A list that the caller brings, to be ranked for someone by scores alone, without rules."""

    model_config = shown({"user_id": "196", "items": ["242", "302"]}, anyOf=_SOMEONE)

    items: list[Id] = Field(
        min_length=1,
        max_length=MAX_LIST,
        description="What to rank, all of it: as many as one answer may have items",
    )
    explain: Detail = Field("experts", description="As for recommendations")

    def recommendation(self) -> RecommendationRequest:
        """The request for recommendations whose answer is the ranked list."""
        return RecommendationRequest(
            user_id=self.user_id,
            session_items=self.session_items,
            without_modalities=self.without_modalities,
            model_version=self.model_version,
            candidates=self.items,
            k=len(self.items),
            exclude_seen=False,
            default_rules=False,
            explain=self.explain,
        )


class ExplanationRequest(_ForSomeone):
    """Whose score of which item to take apart."""

    model_config = shown({"session_items": ["50", "172"], "item_id": "242"}, anyOf=_SOMEONE)

    item_id: Id
    boosts: list[Boost] = Field(
        [], max_length=MAX_BOOSTS, description="As of the list that the item is to be explained in"
    )
    default_rules: DefaultRules = True


class ItemSearch(Whole):
    """Query parameters of a look into the catalogue."""

    title: str = Field("", max_length=256, description="A part of the title, in any case")
    category: Categories = Field([])
    offset: int = Field(0, ge=0, description="How many items to skip; better send a cursor")
    limit: int = Field(20, ge=1, le=MOST, description="Most items")
    cursor: GivenCursor = None


class ItemLookup(Body):
    """Items that the caller can name."""

    model_config = shown({"item_ids": ["242", "302"]})

    item_ids: list[Id] = Field(min_length=1, max_length=1000)


_ITEM: dict[str, JsonValue] = {
    "title": "Kolya, restored (2026)",
    "categories": ["Comedy"],
    "description": "A cellist and a boy who speaks another language",
    "picture_url": "https://example.com/kolya.jpg",
    "attributes": {"price": 12.5, "brand": "x", "released": "2026-01-01"},
    "available": True,
}


_PICTURE = r"^(([Hh][Tt][Tt][Pp][Ss]?:)?//[^/\\\s]|/?[^\s:/\\][^:/\\]*(/|$)|$)"


def _loadable(name: str) -> str:
    """A picture that pages may name: no other scheme, which a browser might run or read."""
    if re.match(_PICTURE, name):
        return name
    raise ValueError(
        "expected an address that begins with http:// or https://, or the name of a file in the "
        "data folder, such as images/242.jpg"
    )


PictureUrl = Annotated[
    str,
    AfterValidator(_loadable),
    Field(
        max_length=2_000,
        examples=["https://example.com/242.jpg"],
        json_schema_extra={"pattern": _PICTURE},
    ),
]


class ItemRequest(ItemContent):
    """An item, all of it: what is left out is taken away."""

    model_config = shown(_ITEM)

    picture_url: PictureUrl | None = None
    available: bool | None = Field(
        None,
        description="Whether it may be shown; left out, that stays as it is, and a deleted item is "
        "shown again",
    )


class ItemPatch(ItemContent):
    """What is to change of an item; what is left out stays.

    Attributes are changed one by one; null takes one away, as it does any field.
    """

    model_config = shown({"title": "Kolya (1996)", "attributes": {"price": 9.5, "brand": None}})

    picture_url: PictureUrl | None = None
    categories: list[Name] | None = Field(None, max_length=MAX_CATEGORIES)  # type: ignore[assignment]
    attributes: dict[Name, Value | None] | None = Field(  # type: ignore[assignment]
        None, max_length=MAX_ATTRIBUTES
    )
    features: dict[Name, Vector] | None = None  # type: ignore[assignment]
    available: bool | None = Field(None, description="Whether it may be shown")


class ItemLine(ItemRequest):
    """One line of a bulk call."""

    item_id: Id


class BatchRequest(Whole):
    """Several requests in one; each is answered as if it were alone."""

    model_config = shown({"requests": [{"user_id": "196", "k": 3}, {"session_items": ["50"]}]})

    requests: list[RecommendationRequest] = Field(min_length=1, max_length=MAX_BATCH)


_EVENT: JsonValue = {
    "event_id": "a1",
    "user_id": "196",
    "item_id": "242",
    "type": "click",
    "timestamp": "2026-01-01T12:00:00Z",
    "variant": "challenger",
    "request_id": "4f1f0f9e2b7c4d1fa8f4f1d0c8a1b2c3",
    "rank": 1,
}


class FeedbackRequest(Whole):
    """What users did, in any order."""

    model_config = shown({"events": [_EVENT]})

    events: list[ReportedEvent] = Field(min_length=1, max_length=MAX_EVENTS)


class AvailabilityRequest(Body):
    """Whether an item may be shown."""

    model_config = shown({"available": False})

    available: bool


class AvailabilitiesRequest(Body):
    """Whether some items may be shown."""

    model_config = shown({"item_ids": ["50", "172"], "available": False})

    item_ids: list[Id] = Field(min_length=1, max_length=MAX_LIST)
    available: bool


class ActivationRequest(Body):
    """How a version becomes live."""

    model_config = shown({"pin": True})

    pin: bool = Field(
        True, description="Keep it live whatever is published; false takes an earlier pin away"
    )


class CanaryRequest(Body):
    """How many users a version is to serve."""

    model_config = shown({"share": 0.05})

    share: float = Field(gt=0, le=MAX_SHARE, description="Of the users")
