"""Bodies of answers; the names are the public contract.

Knows shapes only; knows nothing about any model.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from model.contract.manifest import EpochRecord

Source = Literal["model", "session", "popular"]


class ExpertContribution(BaseModel):
    """What one expert adds to one score."""

    name: str = Field(examples=["dominant_text"])
    role: str = Field(examples=["dominant"])
    modality: str | None = Field(examples=["text"])
    weight: float = Field(examples=[0.61])
    contribution: float = Field(examples=[1.68])


class RecommendedItem(BaseModel):
    """One item of an answer; score = bias + the sum of the experts' contributions."""

    item_id: str = Field(examples=["242"])
    title: str | None = Field(examples=["Kolya (1996)"])
    rank: int
    score: float = Field(description="For source `popular`: interactions in training")
    bias: float
    source: Source
    reasons: list[str]
    experts: list[ExpertContribution] | None = Field(
        description="Experts with a weight above zero, largest contribution first; null if the "
        "item is popular rather than scored, or if nothing was to be explained"
    )
    by_modality: dict[str, float] | None = Field(None, description="With explain=full")
    by_view: dict[str, float] | None = Field(None, description="With explain=full")


class Answered(BaseModel):
    """What every answer carries besides its content."""

    request_id: str = Field(description="Also in the header X-Request-ID; found in the logs")
    took_ms: float


class Recommendation(BaseModel):
    """A ranked list and where it comes from."""

    model_version: str
    variant: Literal["champion"] = "champion"
    user_id: str | None
    fallback: Literal["popular"] | None
    warnings: list[str]
    missing_ids: list[str] = Field(description="Ids of the request that the model does not know")
    unavailable_ids: list[str] = Field(description="Candidates that nobody is shown at the moment")
    items: list[RecommendedItem]


class RecommendationResponse(Recommendation, Answered):
    """A ranked list, answered."""


class BatchResponse(Answered):
    """Answers in the order of the requests."""

    responses: list[Recommendation]


class ExpertDetail(ExpertContribution):
    """One expert of one pair, whether it has a say or not."""

    usual_weight: float = Field(description="Its mean weight over many pairs, for comparison")
    rank_without: int = Field(
        description="The item's rank if this expert added nothing to any item's score"
    )


class HistoryEvidence(BaseModel):
    """One item of the user's history, or of the session, that speaks for the explained item.

    The history is what her vector is made of: positives, not all that she has seen.
    """

    item_id: str
    title: str | None
    contribution: float = Field(description="In points of the score")
    share: float = Field(description="Of all that speaks for the item in the history")


class Explanation(BaseModel):
    """Why one item has the score that it has for one user or session."""

    model_version: str
    user_id: str | None
    source: Source
    warnings: list[str]
    missing_ids: list[str] = Field(description="Session items that the model does not know")
    item_id: str
    title: str | None
    score: float
    bias: float
    rank: int = Field(description="Among the items that the user has not seen, and this one")
    ranked_items: int
    ranks_are_estimates: bool = Field(
        description="Whether ranks are told from the best items and a sample of the others, as in "
        "catalogues of more than 50,000 items; scores and contributions are exact always"
    )
    seen: bool = Field(
        description="Whether the user has interacted with it, just now included, or it is in the "
        "session"
    )
    available: bool = Field(description="False: hidden at the moment, no list will show it")
    experts: list[ExpertDetail]
    by_modality: dict[str, float]
    by_view: dict[str, float]
    matrix: dict[str, dict[str, float]] = Field(description="Contribution by modality, then view")
    gate_entropy: float = Field(description="0: one expert decides; 1: all have an equal say")
    history: list[HistoryEvidence]
    sentence: str


class ExplanationResponse(Explanation, Answered):
    """An explanation, answered."""


class SimilarItem(BaseModel):
    """One neighbour of an item."""

    item_id: str
    title: str | None
    rank: int
    similarity: float
    by_modality: dict[str, float] = Field(description="Cosine, mean over the views")


class Neighbours(BaseModel):
    """The nearest neighbours of an item, by one modality or by the mean of all."""

    model_version: str
    item_id: str
    title: str | None
    modality: str | None
    items: list[SimilarItem]


class SimilarResponse(Neighbours, Answered):
    """Neighbours, answered."""


class ExpertSummary(BaseModel):
    """One expert of the model."""

    name: str
    role: str
    modality: str | None
    template: dict[str, float]
    usual_weight: float


class RetrievalSummary(BaseModel):
    """How the best items are found, measured when the model was loaded."""

    method: Literal["exact", "approximate"]
    recall_at_20: float = Field(description="Against the 20 best items by routing every item")
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
    history: list[EpochRecord] = Field(description="How training went, epoch by epoch")


class FeedbackResponse(Answered):
    """What became of some events."""

    accepted: int
    duplicates: int = Field(description="Reported before, or twice in this call")
    missing_ids: list[str] = Field(
        description="Users and items that the model does not know; their events were kept"
    )


class AvailabilityResponse(Answered):
    """Whether an item may be shown."""

    item_id: str
    available: bool
    missing_ids: list[str] = Field(description="The item, if the model does not know it")


class PointersResponse(Answered):
    """What the namespace points to; a replica may still be loading the live version."""

    live: str | None
    previous: str | None = Field(description="Live before that")
    pinned: str | None = Field(description="Stays live whatever is published")


class ModelVersion(BaseModel):
    """One published version."""

    model_version: str
    published_at: datetime
    created_at: datetime | None
    metrics: dict[str, float]
    live: bool
    previous: bool
    pinned: bool
    usable: bool = Field(description="False: its manifest is gone or damaged; publish it again")


class ModelsResponse(PointersResponse):
    """Every published version, newest first."""

    models: list[ModelVersion]


class CatalogueItem(BaseModel):
    """One item as people see it."""

    item_id: str = Field(examples=["242"])
    title: str | None = Field(examples=["Kolya (1996)"])
    categories: list[str]
    picture_url: str | None
    popularity: int = Field(description="Interactions in training")
    available: bool = Field(description="False: hidden at the moment, no list will show it")


class ItemsResponse(Answered):
    """A part of the catalogue."""

    model_version: str
    items: list[CatalogueItem]
    missing_ids: list[str]


class CategorySize(BaseModel):
    """One category."""

    name: str
    items: int = Field(description="How many items are in it")


class CategoriesResponse(Answered):
    """Every category, largest first."""

    model_version: str
    categories: list[CategorySize]


class UsersResponse(Answered):
    """Some users."""

    model_version: str
    user_ids: list[str]


class Liveness(BaseModel):
    """The process runs."""

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """A model is being served; `warnings` says what stands in the way of a newer one."""

    status: Literal["ready"] = "ready"
    model_version: str
    loaded_from: Literal["store", "disk"] = Field(
        description="`disk`: from what this machine kept, as the store was away at the start"
    )
    warnings: list[str]
