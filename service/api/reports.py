"""The route of what a model has learnt: its report, as it was published with it."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Response

from service.api.dependencies import GUARDED, NOT_FOUND, REFUSED, CallDep, Services, needs
from service.schemas.errors import NoReport, UnknownVersion
from service.schemas.model_responses import ReportResponse

router = APIRouter(responses=GUARDED | REFUSED)


@router.get(
    "/v1/models/{version}/report",
    response_model=ReportResponse,
    responses=NOT_FOUND,
    dependencies=[needs("read")],
    tags=["model"],
)
async def report(
    version: Annotated[
        str, Path(min_length=1, max_length=64, examples=["20260101-120000-1a2b3c4d"])
    ],
    call: CallDep,
) -> Response:
    """What a model has learnt: which experts serve whom, the long tail, and where items lie.

    The figures are of lists that were made when the model was trained. Models that were published
    while their training went on have none.
    """
    found = await _report(call.services, version)
    if found is None:
        raise NoReport(
            f"version {version!r} was published early in its training; "
            "`magnet report ARTIFACT` draws the report of any artifact"
        )
    return call.answer(ReportResponse, model_version=version, report=orjson.Fragment(found))


async def _report(services: Services, version: str) -> bytes | None:
    """From memory if the version is served here, else from Redis; UnknownVersion."""
    models = services.follower.models
    if models is not None:
        served = [models.live, *([models.canary.model] if models.canary else [])]
        for each in served:
            if each.snapshot.version == version:
                return each.snapshot.report
    if services.shared is None:
        raise UnknownVersion(f"{version!r} is not what this service serves from its folder")
    return await services.shared.registry.report(version)
