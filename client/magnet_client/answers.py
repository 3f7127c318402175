"""What the service answers: names and types are those of its OpenAPI document, docs/openapi.json.

Written by hand and tested against that document. Code generated from it would be longer, and would
lose what the shapes have in common (an ExpertDetail is an ExpertContribution). Fields and values
that a newer service adds are accepted. A field that comes after a release gets a default: a client
may be newer than its service.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class _Answered(_Part):
    request_id: str
    """Finds the request in the service's log."""
    took_ms: float


class ExpertContribution(_Part):
    """What one expert adds to one score."""

    name: str
    role: str
    modality: str | None
    weight: float
    contribution: float


class Adjustment(_Part):
    """Points that a rule or a dislike adds to one score."""

    kind: str
    name: str
    points: float


class Because(_Part):
    """One item of the user's history, or of the session, that a reason names."""

    item_id: str
    title: str | None
    share: float
    """Share of what all items that speak for the recommended one add."""


class RecommendedItem(_Part):
    """One item of a list; score = bias + contributions of the experts + points."""

    item_id: str
    title: str | None
    rank: int
    score: float
    bias: float
    source: str
    reasons: list[str]
    """The first is for shoppers, the others for engineers."""
    because: list[Because]
    """At most three, the most telling first; empty from a service that names none."""
    experts: list[ExpertContribution] | None
    """None if the item is popular rather than scored, or if nothing was to be explained."""
    by_modality: dict[str, float] | None
    by_view: dict[str, float] | None
    adjustments: list[Adjustment]
    """Boosts and dislikes; empty from a service that has none."""


class Recommendation(_Part):
    """A ranked list and where it comes from."""

    model_version: str
    variant: str
    user_id: str | None
    fallback: str | None
    """`popular` where nothing is known about the user."""
    live_events: int
    """Events since the model was made that the list is made with."""
    warnings: list[str]
    """For people."""
    warning_codes: list[str]
    """For programs: one for each of `warnings`."""
    left_out: dict[str, int] | None
    """Where the list ends early: how many items are left out by what; None where it does not."""
    missing_ids: list[str]
    unavailable_ids: list[str]
    items: list[RecommendedItem]


class RecommendationResponse(Recommendation, _Answered):
    """A ranked list, answered."""


class BatchResponse(_Answered):
    """Lists in the order of the requests."""

    responses: list[Recommendation]


class ExpertDetail(ExpertContribution):
    """One expert of one pair, whether it has a say or not."""

    usual_weight: float
    rank_without: int
    matrix: dict[str, dict[str, float]]
    """Contribution by modality, then view; empty from a service that does not tell it."""


class HistoryEvidence(_Part):
    """One item of the history or session that adds to the explained item's score."""

    item_id: str
    title: str | None
    contribution: float
    share: float


class ExplanationResponse(_Answered):
    """Why one item has the score that it has for one user or session."""

    model_version: str
    user_id: str | None
    source: str
    live_events: int
    """Live events that it is made with, as for lists."""
    warnings: list[str]
    warning_codes: list[str]
    missing_ids: list[str]
    item_id: str
    title: str | None
    score: float
    bias: float
    rank: int
    ranked_items: int
    ranks_are_estimates: bool
    seen: bool
    available: bool
    experts: list[ExpertDetail]
    adjustments: list[Adjustment]
    """Dislikes of items like it."""
    by_modality: dict[str, float]
    by_view: dict[str, float]
    matrix: dict[str, dict[str, float]]
    """Contribution by modality, then view."""
    gate_entropy: float
    reason: str
    """A sentence for shoppers, as the first reason of a list; empty without one."""
    because: list[Because]
    """Items of the history that speak for it, as in a list."""
    history: list[HistoryEvidence]
    beyond_history: float
    sentence: str


class SimilarItem(_Part):
    """One neighbour of an item."""

    item_id: str
    title: str | None
    rank: int
    similarity: float
    by_modality: dict[str, float]


class SimilarResponse(_Answered):
    """The nearest neighbours of an item."""

    model_version: str
    item_id: str
    title: str | None
    modality: str | None
    warnings: list[str]
    warning_codes: list[str]
    items: list[SimilarItem]


class UserItem(_Part):
    """One item of a user's history."""

    item_id: str
    title: str | None
    live: bool
    """Liked since the model was made."""


class LiveEventRecord(_Part):
    """Something that a user has done lately."""

    item_id: str
    title: str | None
    type: str
    received_at: datetime


class CategoryShare(_Part):
    """How much of a history is of one category."""

    name: str
    share: float


class UsualExpert(_Part):
    """An expert that speaks for a user's best items."""

    name: str
    role: str
    modality: str | None
    weight: float


class Taste(_Part):
    """What a user's best items are good for."""

    items: int
    by_modality: dict[str, float]
    experts: list[UsualExpert]
    categories: list[CategoryShare]


class ErasureResponse(_Answered):
    """A user is forgotten."""

    erasure_id: str
    requested_at: datetime
    waiting: list[str]
    """What the next retraining rewrites."""


class UserResponse(_Answered):
    """What is known of a user."""

    model_version: str
    variant: str
    user_id: str
    in_model: bool
    source: str
    live_events: int
    warnings: list[str]
    warning_codes: list[str]
    history: list[UserItem]
    """Newest first."""
    history_items: int
    events: list[LiveEventRecord]
    """Newest first."""
    next_cursor: str | None
    """For what is older of both; None: this is all."""
    taste: Taste | None


class UsersResponse(_Answered):
    """Users whom the model knows, by id."""

    model_version: str
    user_ids: list[str]
    next_cursor: str | None


class FeedbackResponse(_Answered):
    """What became of some events."""

    accepted: int
    duplicates: int
    missing_ids: list[str]


class RulesResponse(_Answered):
    """The default rules."""

    rules: dict[str, Any]
    """The rules in the form that `put_rules` takes."""
    warnings: list[str]
    missing_ids: list[str]


class CatalogueItem(_Part):
    """One item as people see it."""

    item_id: str
    title: str | None
    year: int | None
    categories: list[str]
    picture_url: str | None
    popularity: int
    available: bool


class ItemResponse(CatalogueItem, _Answered):
    """One item, and what the live model knows it by."""

    model_version: str
    description: str | None
    attributes: dict[str, str | float | bool]
    encoded_by: str


class AvailabilitiesResponse(_Answered):
    """What a call did to the items that it named."""

    available: bool
    items: int
    changed: int
    missing_ids: list[str]


class ItemChangeResponse(_Answered):
    """What became of an item that was put or patched."""

    model_version: str
    item_id: str
    encoded_by: str
    revision: int


class ItemsChangeResponse(_Answered):
    """What became of the items of a bulk call."""

    model_version: str
    items: int
    new: int
    encoded_by: dict[str, int]
    revision: int


class ItemDeletedResponse(_Answered):
    """An item that nobody is shown any more."""

    item_id: str
    revision: int


class ItemsResponse(_Answered):
    """A part of the catalogue."""

    model_version: str
    items: list[CatalogueItem]
    warnings: list[str]
    warning_codes: list[str]
    missing_ids: list[str]
    next_cursor: str | None


class CategorySize(_Part):
    """One category."""

    name: str
    items: int
    """How many are in it."""


class CategoriesResponse(_Answered):
    """Categories that a list can be restricted to, largest first."""

    model_version: str
    categories: list[CategorySize]
    next_cursor: str | None


class ModelResponse(_Answered):
    """What is being served."""

    model_version: str
    created_at: datetime
    loaded_at: datetime
    age_seconds: float
    num_users: int
    num_items: int
    views: list[str]
    modalities: list[str]
    metrics: dict[str, float]


class ModelVersion(_Part):
    """One published version."""

    model_version: str
    published_at: datetime
    created_at: datetime | None
    metrics: dict[str, float]
    live: bool
    previous: bool
    pinned: bool
    usable: bool


class ExpertMap(_Part):
    """Mean routing weight of every expert over the places of some lists, by group."""

    by: str
    """`history`, `popularity` or `category`."""
    groups: list[str]
    places: list[int]
    """Number of list places in each group."""
    weight: list[list[float]]
    """Weight of each expert, by group."""


class Peak(_Part):
    """Where an expert weighs most in one map."""

    group: str
    share: float


class ExpertPlace(_Part):
    """Where one expert weighs most; shares are in units of an even share."""

    expert: str
    leads: float
    """Share of the places where it weighs most."""
    share: float
    most: list[Peak]
    idle: bool


class Tail(_Part):
    """What lists show of the long tail, by tenths of the catalogue, most popular first."""

    interactions: list[float]
    places: list[float]
    covered: float
    """Share of the catalogue in at least one list."""
    gini: float


class DrawnItem(_Part):
    """An item of the maps of items."""

    item_id: str
    title: str
    category: int | None
    """Place in `ModelReport.categories`."""


class ItemMap(_Part):
    """Items in the plane that keeps most of their variance, by one modality."""

    modality: str
    variance: float
    x: list[float]
    y: list[float]


class ModelReport(_Part):
    """Which experts serve whom, what lists show of the long tail, and where items lie."""

    users: int
    """Number of users whose lists these figures are of."""
    length: int
    """Places of each list."""
    experts: list[ExpertPlace]
    maps: list[ExpertMap]
    tail: Tail
    categories: list[str]
    items: list[DrawnItem]
    item_maps: list[ItemMap]


class ReportResponse(_Answered):
    """What a model has learnt."""

    model_version: str
    report: ModelReport


class Interval(_Part):
    """A difference of two rates lies between these."""

    low: float
    high: float


class Comparison(_Part):
    """How much more often the challenger's users respond than the champion's."""

    difference: float | None
    interval: Interval | None
    """95 %, for one look at a time that was set before."""
    always_valid_interval: Interval | None
    """95 %, however often one looks."""
    p_value: float


class VariantCounts(_Part):
    """What was counted for one variant."""

    model_version: str | None
    lists: int
    lists_clicked: int
    lists_purchased: int
    users: int
    users_clicked: int
    users_purchased: int
    click_rate: float | None
    """Share of users who clicked; the next is the same of purchases."""
    purchase_rate: float | None
    list_click_rate: float | None


class ExperimentResponse(Comparison, _Answered):
    """How a canary's users respond beside the others; the comparison is of users who clicked."""

    share: float
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    """None while it runs."""
    counted_since: datetime | None
    champion: VariantCounts
    challenger: VariantCounts
    verdict: str
    """`challenger better`, `champion better` or `undecided`."""
    users_needed: int | None
    summary: str
    purchases: Comparison


class ModelsResponse(_Answered):
    """Every published version, newest first."""

    live: str | None
    previous: str | None
    pinned: str | None
    models: list[ModelVersion]
    warnings: list[str]
    """What is wrong with the list in Redis."""
    next_cursor: str | None
