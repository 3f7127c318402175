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
    Because,
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
    RulesResponse,
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
from magnet_client.rules import Boost, Filter, MaxPer, Pin, Rules

__all__ = [
    "Adjustment",
    "AsyncClient",
    "BatchResponse",
    "Because",
    "Boost",
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
    "Filter",
    "Forbidden",
    "HistoryEvidence",
    "Interval",
    "InvalidAnswer",
    "InvalidRequest",
    "ItemsResponse",
    "MagnetError",
    "MaxPer",
    "ModelResponse",
    "ModelVersion",
    "ModelsResponse",
    "NotFound",
    "Pin",
    "Problem",
    "ProblemError",
    "Recommendation",
    "RecommendationRequest",
    "RecommendationResponse",
    "RecommendedItem",
    "Retries",
    "Rules",
    "RulesResponse",
    "ServiceAway",
    "SimilarItem",
    "SimilarResponse",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "VariantCounts",
]
