"""The HTTP surface: paths, parameters, documentation. One short function per route.

Knows HTTP and hands the captured snapshot on; decides nothing about recommending.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel

from service.engine import RecommendationEngine
from service.errors import InvalidRequest, NotReady, Problem
from service.explainer import PairExplainer
from service.explanation import plain
from service.metrics import CONTENT_TYPE, Metrics
from service.refresh import ModelFollower
from service.schemas import (
    Answered,
    BatchRequest,
    BatchResponse,
    ExpertSummary,
    ExplanationRequest,
    ExplanationResponse,
    Liveness,
    ModelResponse,
    Readiness,
    RecommendationParams,
    RecommendationRequest,
    RecommendationResponse,
    ScoreRequest,
    SimilarResponse,
)
from service.similarity import neighbours
from service.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the routes work with; built once per application."""

    engine: RecommendationEngine
    explainer: PairExplainer
    follower: ModelFollower
    metrics: Metrics
    limiter: CapacityLimiter
    max_k: int


def get_services(request: Request) -> Services:
    """The application's services, from the lifespan's state."""
    services: Services = request.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]


def get_snapshot(services: ServicesDep) -> Snapshot:
    """The live snapshot, captured once per request; NotReady before the first is loaded."""
    if services.follower.snapshot is None:
        raise NotReady(services.follower.trouble or "a model is being loaded")
    return services.follower.snapshot


SnapshotDep = Annotated[Snapshot, Depends(get_snapshot)]
UserId = Annotated[str, Path(min_length=1, max_length=256, examples=["196"])]
ItemId = Annotated[str, Path(min_length=1, max_length=256, examples=["242"])]

NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "The user or item is not known to the model"}
}
REFUSED: dict[int | str, dict[str, Any]] = {
    422: {"model": Problem, "description": "The request is not valid; `errors` names the fields"},
    503: {"model": Problem, "description": "No model is being served yet, or the store is away"},
}

router = APIRouter()


class _Stopwatch:
    """Wraps a result into its answer: the request's id and the time since the request came in."""

    def __init__(self, request: Request, services: ServicesDep) -> None:
        self._started = time.perf_counter()
        self._request_id: str = request.state.request_id
        self._metrics = services.metrics

    def answer(self, kind: type[Answered], **content: Any) -> Response:
        with self._metrics.stage("serialise"):
            took_ms = round((time.perf_counter() - self._started) * 1000, 3)
            body = kind(request_id=self._request_id, took_ms=took_ms, **content)
            return _json(body)


StopwatchDep = Annotated[_Stopwatch, Depends()]


@router.get(
    "/v1/users/{user_id:path}/recommendations",
    response_model=RecommendationResponse,
    responses=REFUSED,
    tags=["recommend"],
)
async def recommend_to_user(
    user_id: UserId,
    params: Annotated[RecommendationParams, Query()],
    snapshot: SnapshotDep,
    services: ServicesDep,
    stopwatch: StopwatchDep,
) -> Response:
    """Recommend to one user.

    A user who is not known gets popular items, flagged by `fallback`, never an error.
    """
    request = RecommendationRequest(
        user_id=user_id,
        k=params.k,
        offset=params.offset,
        exclude_seen=params.exclude_seen,
        categories=params.category,
        diversity=params.diversity,
    )
    _check_k(services, request.k, "k")
    result = await services.engine.recommend(snapshot, request)
    return stopwatch.answer(RecommendationResponse, **dict(result))


@router.post(
    "/v1/recommendations",
    response_model=RecommendationResponse,
    responses=REFUSED,
    tags=["recommend"],
)
async def recommend(
    request: RecommendationRequest,
    snapshot: SnapshotDep,
    services: ServicesDep,
    stopwatch: StopwatchDep,
) -> Response:
    """Recommend to a user, to a session, or to a user in a session.

    `candidates`, `exclude` and `categories` apply before the best k are chosen. Ids that the model
    does not know are skipped and named in `missing_ids`.
    """
    _check_k(services, request.k, "k")
    result = await services.engine.recommend(snapshot, request)
    return stopwatch.answer(RecommendationResponse, **dict(result))


@router.post(
    "/v1/recommendations:batch", response_model=BatchResponse, responses=REFUSED, tags=["recommend"]
)
async def recommend_batch(
    batch: BatchRequest, snapshot: SnapshotDep, services: ServicesDep, stopwatch: StopwatchDep
) -> Response:
    """Answer several requests for recommendations from one model version.

    Answers come in the order of the requests. One that cannot be met refuses the whole batch and is
    named by its place, as in `requests.3.k`.
    """
    for place, request in enumerate(batch.requests):
        _check_k(services, request.k, f"requests.{place}.k")
    responses = await asyncio.gather(
        *(services.engine.recommend(snapshot, request) for request in batch.requests)
    )
    return stopwatch.answer(BatchResponse, responses=responses)


@router.post(
    "/v1/score", response_model=RecommendationResponse, responses=REFUSED, tags=["recommend"]
)
async def score(
    request: ScoreRequest, snapshot: SnapshotDep, services: ServicesDep, stopwatch: StopwatchDep
) -> Response:
    """Rank a list that the caller brings: all of its known items, seen or not.

    Items that the model does not know are named in `missing_ids`.
    """
    _check_k(services, len(request.items), "items")
    result = await services.engine.recommend(snapshot, request.recommendation())
    return stopwatch.answer(RecommendationResponse, **dict(result))


@router.get(
    "/v1/users/{user_id:path}/explanations/{item_id:path}",
    response_model=ExplanationResponse,
    responses=NOT_FOUND | REFUSED,
    tags=["explain"],
)
async def explain(
    user_id: UserId,
    item_id: ItemId,
    snapshot: SnapshotDep,
    services: ServicesDep,
    stopwatch: StopwatchDep,
) -> Response:
    """Take the score of any item for one user apart, recommended or not."""
    request = ExplanationRequest(user_id=user_id, item_id=item_id)
    result = await services.explainer.explain(snapshot, request)
    return stopwatch.answer(ExplanationResponse, **dict(result))


@router.post(
    "/v1/explain",
    response_model=ExplanationResponse,
    responses=NOT_FOUND | REFUSED,
    tags=["explain"],
)
async def explain_for(
    request: ExplanationRequest,
    snapshot: SnapshotDep,
    services: ServicesDep,
    stopwatch: StopwatchDep,
) -> Response:
    """Take the score of any item for a user, a session, or a user in a session apart."""
    result = await services.explainer.explain(snapshot, request)
    return stopwatch.answer(ExplanationResponse, **dict(result))


@router.get(
    "/v1/items/{item_id:path}/similar",
    response_model=SimilarResponse,
    responses=NOT_FOUND | REFUSED,
    tags=["explain"],
)
async def similar(
    item_id: ItemId,
    snapshot: SnapshotDep,
    services: ServicesDep,
    stopwatch: StopwatchDep,
    *,
    k: Annotated[int, Query(ge=1)] = 10,
    modality: Annotated[str | None, Query(examples=["text"])] = None,
) -> Response:
    """The items nearest to one, by one modality or by the mean of all."""
    _check_k(services, k, "k")
    work = partial(neighbours, snapshot, item_id, modality=modality, k=k)
    result = await to_thread.run_sync(work, limiter=services.limiter)
    return stopwatch.answer(SimilarResponse, **dict(result))


@router.get("/v1/model", response_model=ModelResponse, responses=REFUSED, tags=["model"])
async def model(snapshot: SnapshotDep, stopwatch: StopwatchDep) -> Response:
    """What is being served: version, sizes, experts, offline metrics, where it came from."""
    manifest, training = snapshot.manifest, snapshot.manifest.training
    experts = [
        ExpertSummary(
            name=expert.name,
            role=expert.role,
            modality=expert.modality,
            template=dict(zip(manifest.modalities, map(plain, expert.template), strict=True)),
            usual_weight=expert.usual_weight,
        )
        for expert in manifest.experts
    ]
    return stopwatch.answer(
        ModelResponse,
        model_version=manifest.model_version,
        created_at=snapshot.created_at,
        loaded_at=snapshot.loaded_at,
        age_seconds=round((datetime.now(UTC) - snapshot.created_at).total_seconds(), 3),
        num_users=manifest.num_users,
        num_items=manifest.num_items,
        views=manifest.views,
        modalities=manifest.modalities,
        embedding_dim=manifest.embedding_dim,
        experts=experts,
        gate_threshold=manifest.gate_threshold,
        metrics=manifest.metrics,
        **training.model_dump(include=_ORIGIN),
    )


_ORIGIN = {"data_sha256", "split", "seed", "best_epoch", "trigger_epoch"}


@router.get("/livez", tags=["operate"])
async def livez() -> Liveness:
    """Whether the process runs; restart it if not."""
    return Liveness()


@router.get("/readyz", responses={503: REFUSED[503]}, tags=["operate"])
async def readyz(snapshot: SnapshotDep, services: ServicesDep) -> Readiness:
    """Whether requests can be answered; if not, what is missing and what to do about it."""
    trouble = services.follower.trouble
    warnings = [] if trouble is None else [f"{trouble}; still serving {snapshot.version}"]
    return Readiness(model_version=snapshot.version, warnings=warnings)


@router.get("/metrics", response_class=Response, tags=["operate"])
async def metrics(services: ServicesDep) -> Response:
    """Prometheus metrics."""
    return Response(services.metrics.text(), media_type=CONTENT_TYPE)


def _check_k(services: Services, k: int, field: str) -> None:
    if k > services.max_k:
        raise InvalidRequest.of(field, f"{k} is too many, the most is {services.max_k}")


def _json(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), media_type="application/json")
