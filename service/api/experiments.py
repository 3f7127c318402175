"""The route of experiments: a canary's users beside those of the live model."""

from typing import Any

from fastapi import APIRouter, Response

from model.registry.experiment import Tally
from service.api.dependencies import (
    GUARDED,
    NO_EXPERIMENT,
    REFUSED,
    SHARED,
    CallDep,
    SharedDep,
    needs,
)
from service.schemas.errors import NoExperiment
from service.schemas.model_responses import ExperimentResponse

router = APIRouter(responses=GUARDED | REFUSED | SHARED)


@router.get(
    "/v1/experiments/current",
    response_model=ExperimentResponse,
    responses=NO_EXPERIMENT,
    dependencies=[needs("read")],
    tags=["model"],
)
async def experiment(shared: SharedDep, call: CallDep) -> Response:
    """Which is better, the live model or the canary: the one that runs, or the latest.

    Users are compared, as a user always gets the same variant: those with a click, of those who
    were answered a list. Counts come from the events of `POST /v1/feedback` that name the `variant`
    of the list. The verdict holds however often one looks.
    """
    canary = (await shared.registry.state()).canary
    if canary is None:
        raise NoExperiment(
            "nothing was compared yet; let a published version serve a share of the users: "
            "POST /v1/models/{version}:canary, or `magnet canary VERSION`"
        )
    found = await shared.experiments.read(canary)
    clicks = found.clicks
    return call.answer(
        ExperimentResponse,
        share=canary.share,
        started_at=canary.started_at,
        ended_at=canary.ended_at,
        outcome=canary.outcome,
        counted_since=found.counted_since,
        champion=_counts(found.variants["champion"], found.champion_version),
        challenger=_counts(found.variants["challenger"], canary.version),
        **clicks.model_dump(),
        verdict=found.verdict,
        users_needed=found.users_needed,
        summary=found.summary,
        purchases=found.purchases.model_dump(),
    )


def _counts(tally: Tally, version: str | None) -> dict[str, Any]:
    return {
        "model_version": version,
        **tally.model_dump(),
        "click_rate": _rate(tally.users_clicked, tally.users),
        "purchase_rate": _rate(tally.users_purchased, tally.users),
        "list_click_rate": _rate(tally.lists_clicked, tally.lists),
    }


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None
