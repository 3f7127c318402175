"""What the service is sent: lists with their rules, items, events."""

from datetime import UTC, datetime
from typing import Any, Literal, NotRequired, TypedDict
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Detail = Literal["none", "experts", "full"]
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
Scalar = bool | int | float | str


class Filter(TypedDict):
    """A condition on an attribute of an item."""

    attribute: str
    op: Literal["==", "!=", "<", "<=", ">", ">=", "in", "not_in", "exists"]
    value: NotRequired[Scalar | list[Scalar]]
    """A list for `in` and `not_in`; may be left out for `exists`."""


class Boost(TypedDict):
    """Points for the items that meet all of some filters."""

    filters: list[Filter]
    points: float
    name: NotRequired[str]


class Pin(TypedDict):
    """An item that stands at a rank."""

    item_id: str
    rank: int


class MaxPer(TypedDict):
    """The most items of a list with the same value of an attribute."""

    attribute: str
    count: int


class Rules(TypedDict, total=False):
    """What items may stand in a list, and what raises them."""

    filters: list[Filter]
    boosts: list[Boost]
    pins: list[Pin]
    max_per: MaxPer | None


class RecommendationOptions(Rules, total=False):
    """How a list is made; what is left out has the service's default."""

    session_items: list[str]
    """What the user has just looked at, oldest first; needs no user."""
    without_modalities: list[str]
    """Kinds of information that are left out, as in `model().modalities`."""
    model_version: str
    """One that is served, live or as a canary, whichever the user gets otherwise."""
    k: int
    offset: int
    exclude_seen: bool
    candidates: list[str] | None
    exclude: list[str]
    categories: list[str]
    diversity: float
    """0: by score alone; 1: by unlikeness alone."""
    default_rules: bool
    """False: without those of `put_rules`."""
    explain: Detail


class RecommendationRequest(RecommendationOptions, total=False):
    """One request of a batch: a user, a session or both, and how the list is made."""

    user_id: str


class ItemFields(TypedDict, total=False):
    """What is known of an item beside its id."""

    title: str | None
    categories: list[str] | None
    description: str | None
    picture_url: str | None
    attributes: dict[str, Any] | None
    """Numbers, texts and truth values by name."""
    features: dict[str, list[float]] | None
    """A vector of each content modality, as wide as the model's features."""
    available: bool


class Item(ItemFields):
    """An item of a bulk call."""

    item_id: str


class Event(BaseModel):
    """Something that a user did.

    Its id is made with it, so that it counts once however often it is sent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: str
    item_id: str
    type: EventType
    event_id: str = Field(default_factory=lambda: uuid4().hex)
    timestamp: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    model_version: str | None = None
    """Model version of the answer that showed the item; the next three are of it too."""
    variant: str | None = None
    rank: int | None = None
    request_id: str | None = None
