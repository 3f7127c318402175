"""What a caller can ask, and tell.

Knows names and defaults; the service knows limits, and says so.
"""

from datetime import UTC, datetime
from typing import Literal, TypedDict
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Detail = Literal["none", "experts", "full"]
EventType = Literal[
    "impression", "view", "click", "play", "like", "save", "share", "cart", "purchase", "dislike"
]


class RecommendationOptions(TypedDict, total=False):
    """How a list is made; what is left out has the service's default."""

    session_items: list[str]
    """What the user has just looked at, oldest first; needs no user."""
    k: int
    offset: int
    exclude_seen: bool
    candidates: list[str] | None
    exclude: list[str]
    categories: list[str]
    diversity: float
    """From 0, best first, to 1, unlikeness alone."""
    explain: Detail


class RecommendationRequest(RecommendationOptions, total=False):
    """One request of a batch: a user, a session or both, and how the list is made."""

    user_id: str


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
    """Of the answer that showed the item; so are the next two."""
    variant: str | None = None
    rank: int | None = None
