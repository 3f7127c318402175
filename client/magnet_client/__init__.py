"""Client of a MAGNET recommendation service.

    from magnet_client import Client

    with Client("http://127.0.0.1:8000") as magnet:
        for item in magnet.recommend("196", k=5).items:
            print(item.rank, item.title, item.score)

`AsyncClient` has the same methods as coroutines. Everything that can go wrong is a `MagnetError`.
"""

from magnet_client.answers import (
    Adjustment,
    BatchResponse,
    CatalogueItem,
    Comparison,
    ExperimentResponse,
    ExpertContribution,
    ExpertDetail,
    ExplanationResponse,
    FeedbackResponse,
    HistoryEvidence,
    Interval,
    ItemsResponse,
    ModelResponse,
    ModelsResponse,
    ModelVersion,
    Recommendation,
    RecommendationResponse,
    RecommendedItem,
    SimilarItem,
    SimilarResponse,
    VariantCounts,
)
from magnet_client.calls import Event, EventType, RecommendationRequest
from magnet_client.client import AsyncClient, Client, Retries
from magnet_client.errors import (
    FieldFault,
    Forbidden,
    InvalidAnswer,
    InvalidRequest,
    MagnetError,
    NotFound,
    Problem,
    ProblemError,
    ServiceAway,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)

__all__ = [
    "Adjustment",
    "AsyncClient",
    "BatchResponse",
    "CatalogueItem",
    "Client",
    "Comparison",
    "Event",
    "EventType",
    "ExperimentResponse",
    "ExpertContribution",
    "ExpertDetail",
    "ExplanationResponse",
    "FeedbackResponse",
    "FieldFault",
    "Forbidden",
    "HistoryEvidence",
    "Interval",
    "InvalidAnswer",
    "InvalidRequest",
    "ItemsResponse",
    "MagnetError",
    "ModelResponse",
    "ModelVersion",
    "ModelsResponse",
    "NotFound",
    "Problem",
    "ProblemError",
    "Recommendation",
    "RecommendationRequest",
    "RecommendationResponse",
    "RecommendedItem",
    "Retries",
    "ServiceAway",
    "SimilarItem",
    "SimilarResponse",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "VariantCounts",
]
