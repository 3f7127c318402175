"""Bodies of answers; the names are the public contract.

Typed dictionaries: what an answer is made of is what is serialised, and the documented schema is
that of the type.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from model.registry.erasures import Part
from model.registry.records import Variant
from service.schemas.paging import NextCursor
from service.schemas.rules import Rules
from service.schemas.warned import Told

Source = Literal["model", "session", "live", "popular"]
OfVariant = Annotated[
    Variant,
    Field(
        description="`champion`: the live model; `challenger`: a canary, for a share of the users"
    ),
]


class ExpertContribution(TypedDict):
    """What one expert adds to one score."""

    name: Annotated[str, Field(examples=["dominant_text"])]
    role: Annotated[str, Field(examples=["dominant"])]
    modality: Annotated[str | None, Field(examples=["text"])]
    weight: Annotated[float, Field(examples=[0.61])]
    contribution: Annotated[float, Field(examples=[1.68])]


AdjustmentKind = Literal["boost", "dislike"]


class Adjustment(TypedDict):
    """Points that a rule or a dislike adds to one score."""

    kind: AdjustmentKind
    name: Annotated[str, Field(examples=["brand == lucas"])]
    points: Annotated[float, Field(examples=[0.5])]


class Because(TypedDict):
    """One item of the user's history, or of the session, that a reason names."""

    item_id: Annotated[str, Field(examples=["183"])]
    title: Annotated[str | None, Field(examples=["Alien (1979)"])]
    share: Annotated[
        float,
        Field(description="Of all that those items add which speak for this one", examples=[0.23]),
    ]


class RecommendedItem(TypedDict):
    """One item of an answer; score = bias + contributions of the experts + points."""

    item_id: Annotated[str, Field(examples=["242"])]
    title: Annotated[str | None, Field(examples=["Kolya (1996)"])]
    rank: int
    score: Annotated[float, Field(description="For source `popular`: interactions in training")]
    bias: float
    source: Source
    reasons: Annotated[
        list[str],
        Field(
            description="The first for shoppers, the others for engineers",
            examples=[["Because you liked Alien (1979) and Heat (1995)"]],
        ),
    ]
    because: Annotated[
        list[Because],
        Field(
            description="At most three items, the most telling first: they say more for this item "
            "than for others, and at least 4 % of what speaks for it"
        ),
    ]
    experts: Annotated[
        list[ExpertContribution] | None,
        Field(description="Those with a weight above zero; null where nothing is explained"),
    ]
    by_modality: Annotated[dict[str, float] | None, Field(description="With explain=full")]
    by_view: Annotated[dict[str, float] | None, Field(description="With explain=full")]
    adjustments: Annotated[list[Adjustment], Field(description="Boosts and dislikes")]


Matrix = Annotated[
    dict[str, dict[str, float]], Field(description="Contribution by modality, then view")
]
LiveEvents = Annotated[
    int,
    Field(description="Events since the model was made that this is made with; one for each item"),
]
Available = Annotated[bool, Field(description="False: the item is hidden, no list shows it")]


Cause = Literal["categories", "filters", "excluded", "hidden", "seen", "max_per"]
LeftOut = Annotated[
    dict[Cause, int] | None,
    Field(
        description="Where the list ends before `k` items: how many items are left out by what; "
        "of an item that several things leave out, the first of them. Null for a list that has all "
        "that was asked for",
        examples=[{"filters": 1200, "seen": 9}],
    ),
]


class Answered(TypedDict):
    """What every answer carries besides its content."""

    request_id: Annotated[str, Field(description="Also in the header X-Request-ID and the logs")]
    took_ms: float


class Recommendation(Told):
    """A ranked list and where it comes from."""

    model_version: str
    variant: OfVariant
    user_id: str | None
    fallback: Literal["popular"] | None
    live_events: LiveEvents
    left_out: LeftOut
    missing_ids: Annotated[list[str], Field(description="Ids that the model does not know")]
    unavailable_ids: Annotated[list[str], Field(description="Candidates that are hidden")]
    items: list[RecommendedItem]


class RecommendationResponse(Recommendation, Answered):
    """A ranked list, answered."""


class BatchResponse(Answered):
    """Answers in the order of the requests."""

    responses: list[Recommendation]


class ExpertDetail(ExpertContribution):
    """One expert of one pair, whether its weight is zero or not."""

    usual_weight: Annotated[float, Field(description="Its mean weight over many pairs")]
    rank_without: Annotated[int, Field(description="The item's rank if it added to no score")]
    matrix: Matrix


class HistoryEvidence(TypedDict):
    """One item of the user's history, or of the session, that adds to the explained item's score.

    The history is what their vector is made of: positives, not all that they have seen.
    """

    item_id: str
    title: str | None
    contribution: Annotated[float, Field(description="In points of the score")]
    share: Annotated[float, Field(description="Of all that the history adds to the score")]


class Explanation(Told):
    """Why one item has its score for a user or session: bias + contributions + points."""

    model_version: str
    variant: OfVariant
    user_id: str | None
    source: Source
    live_events: LiveEvents
    missing_ids: Annotated[list[str], Field(description="Ids that the model does not know")]
    item_id: str
    title: str | None
    score: float
    bias: float
    rank: Annotated[int, Field(description="Among this item and those that the user has not seen")]
    ranked_items: int
    ranks_are_estimates: Annotated[
        bool, Field(description="Above 50,000 items: ranks come from a sample, scores are exact")
    ]
    seen: Annotated[bool, Field(description="By the user, just now included, or in the session")]
    available: Available
    experts: list[ExpertDetail]
    adjustments: Annotated[
        list[Adjustment], Field(description="Boosts, and dislikes of items like it")
    ]
    by_modality: dict[str, float]
    by_view: dict[str, float]
    matrix: Matrix
    gate_entropy: Annotated[
        float, Field(description="0: one expert decides; 1: all weigh the same")
    ]
    reason: Annotated[
        str,
        Field(
            description="For shoppers, as the first reason of a list",
            examples=["Because you liked Alien (1979) and Heat (1995)"],
        ),
    ]
    because: Annotated[
        list[Because],
        Field(description="As in a list that has this item and the user's best others"),
    ]
    history: list[HistoryEvidence]
    beyond_history: Annotated[
        float,
        Field(
            description="What the model has learnt of the user beyond their items adds to the score"
        ),
    ]
    sentence: str


class ExplanationResponse(Explanation, Answered):
    """An explanation, answered."""


class SimilarItem(TypedDict):
    """One neighbour of an item."""

    item_id: str
    title: str | None
    rank: int
    similarity: float
    by_modality: Annotated[dict[str, float], Field(description="Cosine, mean over the views")]


class Neighbours(Told):
    """The nearest neighbours of an item, by one modality or by the mean of all."""

    model_version: str
    item_id: str
    title: str | None
    modality: str | None
    items: list[SimilarItem]


class SimilarResponse(Neighbours, Answered):
    """Neighbours, answered."""


class FeedbackReceipt(TypedDict):
    """What became of the events of one call."""

    accepted: int
    duplicates: Annotated[int, Field(description="Reported before, or twice in this call")]
    missing_ids: Annotated[list[str], Field(description="Unknown to the model; events are kept")]


class FeedbackResponse(FeedbackReceipt, Answered):
    """What became of some events."""


class AvailabilityResponse(Answered):
    """Whether an item may be shown."""

    item_id: str
    available: bool
    missing_ids: Annotated[list[str], Field(description="The item, if the model does not know it")]


class AvailabilitiesResponse(Answered):
    """What a call did to the items that it named."""

    available: bool
    items: Annotated[int, Field(description="How many were named")]
    changed: Annotated[int, Field(description="How many of them were not so already")]
    missing_ids: Annotated[list[str], Field(description="Those that the model does not know")]


class RulesResponse(Answered):
    """The default rules."""

    rules: Rules
    warnings: Annotated[list[str], Field(description="What they name that no item has")]
    missing_ids: Annotated[list[str], Field(description="Pinned ids that the model does not know")]


class CatalogueItem(TypedDict):
    """One item as people see it."""

    item_id: Annotated[str, Field(examples=["242"])]
    title: Annotated[str | None, Field(examples=["Kolya (1996)"])]
    year: Annotated[int | None, Field(description="Of the item table, or the attribute `year`")]
    categories: list[str]
    picture_url: Annotated[str | None, Field(description="At this service if it begins with `/`")]
    popularity: Annotated[int, Field(description="Interactions in training")]
    available: Available


EncodedBy = Annotated[
    Literal["model", "features", "encoder", "categories", "none"],
    Field(
        description="What the live model knows the item by. `model`: it was trained with it. "
        "`features`: by those of the call; `encoder`: by features made of its title, description "
        "and categories; `categories`: as the mean of the items of its categories, for want of an "
        "item encoder or of features. `none`: only as any new item"
    ),
]


class ItemDetail(CatalogueItem):
    """One item, all of it."""

    description: str | None
    attributes: dict[str, str | float | bool]
    encoded_by: EncodedBy


class ItemResponse(ItemDetail, Answered):
    """One item, answered."""

    model_version: str


class ItemChangeResponse(Answered):
    """What became of one item."""

    model_version: str
    item_id: str
    encoded_by: EncodedBy
    revision: Annotated[int, Field(description="Of the catalogue; it grows with every change")]


class ItemsChangeResponse(Answered):
    """What became of the items of one call."""

    model_version: str
    items: Annotated[int, Field(description="How many were put")]
    new: Annotated[int, Field(description="How many of them had never been put before")]
    encoded_by: Annotated[
        dict[str, int], Field(description="How many of them the live model knows by what")
    ]
    revision: Annotated[int, Field(description="Of the catalogue; it grows with every change")]


class ErasureResponse(Answered):
    """A user is forgotten."""

    erasure_id: Annotated[str, Field(description="`magnet users erased` tells how far it is")]
    requested_at: Annotated[datetime, Field(description="What came until then is erased")]
    waiting: Annotated[list[Part], Field(description="What the next retraining rewrites")]


class ItemDeletedResponse(Answered):
    """An item is nobody's any more."""

    item_id: str
    revision: int


class ItemsResponse(Told, Answered):
    """A part of the catalogue."""

    model_version: str
    items: list[CatalogueItem]
    missing_ids: list[str]
    next_cursor: NextCursor


class CategorySize(TypedDict):
    """One category."""

    name: str
    items: Annotated[int, Field(description="How many items are in it")]


class CategoriesResponse(Answered):
    """Categories, largest first."""

    model_version: str
    categories: list[CategorySize]
    next_cursor: NextCursor


class UsersResponse(Answered):
    """Some users."""

    model_version: str
    user_ids: list[str]
    next_cursor: NextCursor


class UserItem(TypedDict):
    """One item of a user's history."""

    item_id: Annotated[str, Field(examples=["242"])]
    title: Annotated[str | None, Field(examples=["Kolya (1996)"])]
    live: Annotated[bool, Field(description="Liked since the model was made")]


class LiveEventRecord(TypedDict):
    """Something that a user has done lately."""

    item_id: Annotated[str, Field(examples=["242"])]
    title: Annotated[str | None, Field(description="Null if the model does not have the item")]
    type: Annotated[str, Field(examples=["click"])]
    received_at: datetime


class CategoryShare(TypedDict):
    """How much of a history is of one category."""

    name: str
    share: Annotated[float, Field(description="Of the items that have categories")]


class UsualExpert(TypedDict):
    """An expert that speaks for a user's best items."""

    name: Annotated[str, Field(examples=["dominant_text"])]
    role: Annotated[str, Field(examples=["dominant"])]
    modality: Annotated[str | None, Field(examples=["text"])]
    weight: Annotated[float, Field(description="Mean over these items")]


class Taste(TypedDict):
    """What a user's best items are good for."""

    items: Annotated[int, Field(description="The best that they have not seen, at most 50")]
    by_modality: Annotated[
        dict[str, float], Field(description="Share of what raises these items' scores")
    ]
    experts: Annotated[list[UsualExpert], Field(description="Largest mean weight first")]
    categories: Annotated[
        list[CategoryShare], Field(description="Of the history, largest share first, at most 10")
    ]


class UserDetail(Told):
    """What is known of a user."""

    model_version: str
    variant: OfVariant
    user_id: str
    in_model: Annotated[bool, Field(description="False: only events are known")]
    source: Annotated[Source, Field(description="What their lists are made of")]
    live_events: LiveEvents
    history: Annotated[
        list[UserItem],
        Field(description="What their vector is made of, newest first, events included"),
    ]
    history_items: Annotated[int, Field(description="All of it")]
    events: Annotated[
        list[LiveEventRecord],
        Field(description="What they have done lately, newest first; one for each item and type"),
    ]
    next_cursor: NextCursor
    taste: Annotated[Taste | None, Field(description="Null if nothing can be scored for them")]


class UserResponse(UserDetail, Answered):
    """What is known of a user, answered."""


class Liveness(TypedDict):
    """The process runs."""

    status: Literal["alive"]


class Readiness(TypedDict):
    """A model is being served; `warnings` says what stands in the way of a newer one."""

    status: Literal["ready"]
    model_version: str
    loaded_from: Annotated[
        Literal["store", "disk"],
        Field(description="`disk`: this machine's copy, as the store was away at the start"),
    ]
    warnings: list[str]
