"""The routes of recommendations and explanations."""

import asyncio
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Response
from orjson import Fragment

from service.api.dependencies import (
    GUARDED,
    NOT_FOUND,
    REFUSED,
    CallDep,
    ModelsDep,
    SnapshotDep,
    needs,
)
from service.http.json_bodies import JsonRoute
from service.http.problems import ItemId, UserId
from service.recommend.pair_explanation import explain_pair
from service.recommend.resolution import read_user
from service.recommend.search import similar_items
from service.schemas import costs
from service.schemas.requests import (
    BatchRequest,
    ExplanationRequest,
    RecommendationParams,
    RecommendationRequest,
    ScoreRequest,
)
from service.schemas.responses import (
    BatchResponse,
    ExplanationResponse,
    RecommendationResponse,
    SimilarResponse,
)

router = APIRouter(route_class=JsonRoute, dependencies=[needs("read")], responses=GUARDED | REFUSED)


def request_by(user_id: str, params: RecommendationParams) -> RecommendationRequest:
    """What is asked for a user by parameters."""
    return RecommendationRequest(
        user_id=user_id,
        k=params.k,
        offset=params.offset,
        exclude_seen=params.exclude_seen,
        categories=params.category,
        diversity=params.diversity,
        default_rules=params.default_rules,
    )


@router.get(
    "/v1/users/{user_id:listed}/recommendations",
    response_model=RecommendationResponse,
    tags=["recommend"],
)
async def recommend_to_user(
    user_id: UserId,
    params: Annotated[RecommendationParams, Query()],
    models: ModelsDep,
    call: CallDep,
) -> Response:
    """Recommend to one user.

    Their latest events count. A user of whom nothing is known gets popular items, flagged by
    `fallback`, never an error.
    """
    return await recommend(request_by(user_id, params), models, call)


@router.post("/v1/recommendations", response_model=RecommendationResponse, tags=["recommend"])
async def recommend(request: RecommendationRequest, models: ModelsDep, call: CallDep) -> Response:
    """Recommend to a user, to a session, or to a user in a session.

    `candidates`, `exclude`, `categories`, `filters` and `max_per` apply before the best k are
    chosen. Points of `boosts` are added to scores. A pinned item stands at its rank whatever else
    the request says, unless it is hidden or in `exclude`. Ids that the model does not know are
    skipped and named in `missing_ids`.
    """
    call.check_k(request.k, "k")
    call.charge(costs.of_list(request))
    served = models.asked(request.user_id, request.model_version)
    result = await call.services.engine.recommend(served, request)
    return call.answer_list(models, result)


@router.post("/v1/recommendations:batch", response_model=BatchResponse, tags=["recommend"])
async def recommend_batch(batch: BatchRequest, models: ModelsDep, call: CallDep) -> Response:
    """Answer several requests for recommendations.

    All are answered from one model version, but for those of users whom a canary serves, or that
    name another. Answers come in the order of the requests. One that cannot be met refuses the
    whole batch and is named by its place, as in `requests.3.k`.
    """
    for place, request in enumerate(batch.requests):
        call.check_k(request.k, f"requests.{place}.k")
    call.charge(sum(map(costs.of_list, batch.requests)))
    places = [f"requests.{place}." for place in range(len(batch.requests))]
    served = [
        models.asked(request.user_id, request.model_version, place)
        for place, request in zip(places, batch.requests, strict=True)
    ]
    responses = await asyncio.gather(
        *map(call.services.engine.recommend, served, batch.requests, places)
    )
    for response in responses:
        call.shown(models, response)
    return call.answer(BatchResponse, responses=[Fragment(each.content) for each in responses])


@router.post("/v1/score", response_model=RecommendationResponse, tags=["recommend"])
async def score(request: ScoreRequest, models: ModelsDep, call: CallDep) -> Response:
    """Rank a list that the caller brings: all of its known items, seen or not.

    Items that the model does not know are named in `missing_ids`.
    """
    call.check_k(len(request.items), "items")
    wanted = request.recommendation()
    call.charge(costs.of_list(wanted))
    served = models.asked(request.user_id, request.model_version)
    result = await call.services.engine.recommend(served, wanted)
    return call.answer_list(models, result)


@router.get(
    "/v1/users/{user_id:id}/explanations/{item_id:id}",
    response_model=ExplanationResponse,
    responses=NOT_FOUND,
    tags=["explain"],
)
async def explain(user_id: UserId, item_id: ItemId, models: ModelsDep, call: CallDep) -> Response:
    """Take the score of any item for one user apart, recommended or not."""
    return await explain_for(ExplanationRequest(user_id=user_id, item_id=item_id), models, call)


@router.post(
    "/v1/explain", response_model=ExplanationResponse, responses=NOT_FOUND, tags=["explain"]
)
async def explain_for(request: ExplanationRequest, models: ModelsDep, call: CallDep) -> Response:
    """Take the score of any item for a user, a session, or a user in a session apart."""
    call.charge(costs.EXPLANATION)
    served, services = models.asked(request.user_id, request.model_version), call.services
    result = await explain_pair(served, request, services.metrics, services.limiter)
    return call.answer(ExplanationResponse, **result)


@router.get(
    "/v1/items/{item_id:id}/similar",
    response_model=SimilarResponse,
    responses=NOT_FOUND,
    tags=["explain"],
)
async def similar(
    item_id: ItemId,
    snapshot: SnapshotDep,
    call: CallDep,
    *,
    k: Annotated[int, Query(ge=1)] = 10,
    modality: Annotated[str | None, Query(examples=["text"])] = None,
) -> Response:
    """The items nearest to one, by one modality or by the mean of all."""
    call.check_k(k, "k")
    call.charge(costs.of_entries(k))
    nobody = await read_user(snapshot, None)
    work = partial(similar_items, snapshot, item_id, nobody.hidden_rows, modality=modality, k=k)
    result = await to_thread.run_sync(work, limiter=call.services.limiter)
    return call.answer(SimilarResponse, **result)
