"""The routes of health: what is served, whether it can answer, and metrics."""

from datetime import UTC, datetime

from anyio import to_thread
from fastapi import APIRouter, Response

from service.api.dependencies import (
    GUARDED,
    REFUSED,
    CallDep,
    ModelsDep,
    ServicesDep,
    SnapshotDep,
    json_response,
    needs,
)
from service.ops.metrics import CONTENT_TYPE
from service.recommend.explanation import named
from service.schemas.errors import NotReady
from service.schemas.model_responses import ModelResponse, RetrievalSummary
from service.schemas.responses import Liveness, Readiness

router = APIRouter()

_OF_MANIFEST = {
    "model_version",
    "num_users",
    "num_items",
    "views",
    "modalities",
    "embedding_dim",
    "gate_threshold",
    "metrics",
}
_OF_TRAINING = {
    "data_sha256",
    "split",
    "seed",
    "best_epoch",
    "trigger_epoch",
    "history",
    "early",
}
"""The fields of `ModelResponse` that are those of the manifest."""


@router.get(
    "/v1/model",
    response_model=ModelResponse,
    responses=GUARDED | REFUSED,
    dependencies=[needs("read")],
    tags=["model"],
)
async def model(models: ModelsDep, call: CallDep) -> Response:
    """What is being served: version, sizes, experts, offline metrics, where it came from."""
    snapshot, canary = models.live.snapshot, models.canary
    manifest = snapshot.manifest
    return call.answer(
        ModelResponse,
        created_at=snapshot.created_at,
        loaded_at=snapshot.loaded_at,
        age_seconds=round((datetime.now(UTC) - snapshot.created_at).total_seconds(), 3),
        experts=[
            {**expert.model_dump(), "template": named(manifest.modalities, expert.template)}
            for expert in manifest.experts
        ],
        retrieval=RetrievalSummary(
            method=snapshot.retriever.name,
            recall_at_20=snapshot.chosen.recall,
            sampled_users=snapshot.chosen.sampled_users,
        ),
        report=snapshot.report is not None,
        challenger=None if canary is None else canary.record.version,
        **manifest.model_dump(include=_OF_MANIFEST),
        **manifest.training.model_dump(include=_OF_TRAINING),
    )


@router.get("/livez", response_model=Liveness, tags=["operate"])
async def livez() -> Response:
    """Whether the process runs; restart it if not."""
    return json_response(Liveness(status="alive"))


@router.get("/readyz", response_model=Readiness, responses={503: REFUSED[503]}, tags=["operate"])
async def readyz(snapshot: SnapshotDep, services: ServicesDep) -> Response:
    """Whether requests can be answered; if not, what is missing and what to do about it."""
    if services.drain.begun:
        raise NotReady("it is about to stop: send requests elsewhere")
    live, canary = services.follower.live, services.follower.canary
    origin = live.origin
    what = "still serving" if origin == "store" else "serving this machine's copy of"
    warnings = [] if live.trouble is None else [f"{live.trouble}; {what} {snapshot.version}"]
    if canary.trouble is not None:
        warnings.append(canary.trouble)
    if services.shared is not None and services.shared.changing.trouble is not None:
        warnings.append(services.shared.changing.trouble)
    if services.shared is not None:
        warnings += services.shared.store.warnings
    return json_response(
        Readiness(
            status="ready", model_version=snapshot.version, loaded_from=origin, warnings=warnings
        )
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses=GUARDED,
    dependencies=[needs("metrics")],
    tags=["operate"],
)
async def metrics(services: ServicesDep) -> Response:
    """Prometheus metrics."""
    text = await to_thread.run_sync(services.metrics.text)  # it may be that of all workers
    return Response(text, media_type=CONTENT_TYPE)
