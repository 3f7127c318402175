"""Bodies of answers; the names are the public contract.

Typed dictionaries: what an answer is made of is what is serialised, and the documented schema is
that of the type.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from model.artifact.manifest import EpochRecord
from model.registry.canary import Outcome
from model.registry.records import Variant

Source = Literal["model", "session", "popular"]
OfVariant = Annotated[
    Variant,
    Field(
        description="`challenger`: made by a canary, which serves a share of the users, always the "
        "same ones; else `champion`, the live model"
    ),
]


class ExpertContribution(TypedDict):
    """What one expert adds to one score."""

    name: Annotated[str, Field(examples=["dominant_text"])]
    role: Annotated[str, Field(examples=["dominant"])]
    modality: Annotated[str | None, Field(examples=["text"])]
    weight: Annotated[float, Field(examples=[0.61])]
    contribution: Annotated[float, Field(examples=[1.68])]


class RecommendedItem(TypedDict):
    """One item of an answer; score = bias + the sum of the experts' contributions."""

    item_id: Annotated[str, Field(examples=["242"])]
    title: Annotated[str | None, Field(examples=["Kolya (1996)"])]
    rank: int
    score: Annotated[float, Field(description="For source `popular`: interactions in training")]
    bias: float
    source: Source
    reasons: list[str]
    experts: Annotated[
        list[ExpertContribution] | None,
        Field(
            description="Experts with a weight above zero, largest contribution first; null if the "
            "item is popular rather than scored, or if nothing was to be explained"
        ),
    ]
    by_modality: Annotated[dict[str, float] | None, Field(description="With explain=full")]
    by_view: Annotated[dict[str, float] | None, Field(description="With explain=full")]


class Answered(TypedDict):
    """What every answer carries besides its content."""

    request_id: Annotated[
        str, Field(description="Also in the header X-Request-ID; found in the logs")
    ]
    took_ms: float


class Recommendation(TypedDict):
    """A ranked list and where it comes from."""

    model_version: str
    variant: OfVariant
    user_id: str | None
    fallback: Literal["popular"] | None
    warnings: list[str]
    missing_ids: Annotated[
        list[str], Field(description="Ids of the request that the model does not know")
    ]
    unavailable_ids: Annotated[
        list[str], Field(description="Candidates that nobody is shown at the moment")
    ]
    items: list[RecommendedItem]


class RecommendationResponse(Recommendation, Answered):
    """A ranked list, answered."""


class BatchResponse(Answered):
    """Answers in the order of the requests."""

    responses: list[Recommendation]


class ExpertDetail(ExpertContribution):
    """One expert of one pair, whether it has a say or not."""

    usual_weight: Annotated[
        float, Field(description="Its mean weight over many pairs, for comparison")
    ]
    rank_without: Annotated[
        int, Field(description="The item's rank if this expert added nothing to any item's score")
    ]
    matrix: Annotated[
        dict[str, dict[str, float]],
        Field(description="Its contribution by modality, then view; they add up to it"),
    ]


class HistoryEvidence(TypedDict):
    """One item of the user's history, or of the session, that adds to the explained item's score.

    The history is what their vector is made of: positives, not all that they have seen.
    """

    item_id: str
    title: str | None
    contribution: Annotated[float, Field(description="In points of the score")]
    share: Annotated[float, Field(description="Of all that the history adds to the score")]


class Explanation(TypedDict):
    """Why one item has the score that it has for one user or session."""

    model_version: str
    variant: OfVariant
    user_id: str | None
    source: Source
    warnings: list[str]
    missing_ids: Annotated[
        list[str], Field(description="Session items that the model does not know")
    ]
    item_id: str
    title: str | None
    score: float
    bias: float
    rank: Annotated[
        int, Field(description="Among the items that the user has not seen, and this one")
    ]
    ranked_items: int
    ranks_are_estimates: Annotated[
        bool,
        Field(
            description="Whether ranks are told from the best items and a sample of the others, as "
            "in catalogues of more than 50,000 items; scores and contributions are exact always"
        ),
    ]
    seen: Annotated[
        bool,
        Field(
            description="Whether the user has interacted with it, just now included, or it is in "
            "the session"
        ),
    ]
    available: Annotated[
        bool, Field(description="False: hidden at the moment, no list will show it")
    ]
    experts: list[ExpertDetail]
    by_modality: dict[str, float]
    by_view: dict[str, float]
    matrix: Annotated[
        dict[str, dict[str, float]], Field(description="Contribution by modality, then view")
    ]
    gate_entropy: Annotated[
        float, Field(description="0: one expert decides; 1: all have an equal say")
    ]
    history: list[HistoryEvidence]
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


class Neighbours(TypedDict):
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
    missing_ids: Annotated[
        list[str],
        Field(description="Users and items that the model does not know; their events were kept"),
    ]


class FeedbackResponse(FeedbackReceipt, Answered):
    """What became of some events."""


class AvailabilityResponse(Answered):
    """Whether an item may be shown."""

    item_id: str
    available: bool
    missing_ids: Annotated[list[str], Field(description="The item, if the model does not know it")]


class CatalogueItem(TypedDict):
    """One item as people see it."""

    item_id: Annotated[str, Field(examples=["242"])]
    title: Annotated[str | None, Field(examples=["Kolya (1996)"])]
    categories: list[str]
    picture_url: Annotated[
        str | None,
        Field(description="On the web or, where it begins with `/`, at this service"),
    ]
    popularity: Annotated[int, Field(description="Interactions in training")]
    available: Annotated[
        bool, Field(description="False: hidden at the moment, no list will show it")
    ]


class ItemsResponse(Answered):
    """A part of the catalogue."""

    model_version: str
    items: list[CatalogueItem]
    missing_ids: list[str]


class CategorySize(TypedDict):
    """One category."""

    name: str
    items: Annotated[int, Field(description="How many items are in it")]


class CategoriesResponse(Answered):
    """Every category, largest first."""

    model_version: str
    categories: list[CategorySize]


class UsersResponse(Answered):
    """Some users."""

    model_version: str
    user_ids: list[str]


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
