"""The routes that write: feedback, availability of items, and which model version is live.

A service without Redis offers none of them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Path, Query, Response

from model.artifact.report import REPORT
from model.registry.state import State
from service.api.dependencies import (
    CONFLICT,
    GUARDED,
    NOT_FOUND,
    REFUSED,
    SHARED,
    Call,
    CallDep,
    SharedDep,
    needs,
)
from service.http.json_bodies import JsonRoute
from service.http.problems import ItemId
from service.recommend.feedback import keep_events
from service.schemas import costs
from service.schemas.model_responses import ModelsResponse, ModelVersion, PointersResponse
from service.schemas.paging import GivenCursor, cursor_of, place_of
from service.schemas.requests import (
    ActivationRequest,
    AvailabilitiesRequest,
    AvailabilityRequest,
    CanaryRequest,
    FeedbackRequest,
)
from service.schemas.responses import AvailabilitiesResponse, AvailabilityResponse, FeedbackResponse
from service.store.registry import PublishedVersion

Version = Annotated[str, Path(min_length=1, max_length=64, examples=["20260101-120000-1a2b3c4d"])]
Candidate = Annotated[str, Path(min_length=1, max_length=64, examples=["20260102-120000-5e6f7a8b"])]

router = APIRouter(route_class=JsonRoute, responses=GUARDED | REFUSED | SHARED)


@router.post(
    "/v1/feedback",
    response_model=FeedbackResponse,
    dependencies=[needs("feedback")],
    tags=["feedback"],
)
async def feedback(request: FeedbackRequest, shared: SharedDep, call: CallDep) -> Response:
    """Report what users did: all events of a call are kept for training, or none.

    The user's next list is made with them, on every replica: likes join the history, a `dislike`,
    `hide` or `return` takes like items down, and `undo` takes back what the user has done with the
    item. `exclude_seen` knows of them too. An event whose id was reported before
    counts as a duplicate, so a call may be sent again until it is answered. Users and items that
    the model does not know are kept too, and named in `missing_ids`.
    """
    call.charge(costs.of_entries(len(request.events)))
    services = call.services
    receipt = await keep_events(
        request.events,
        shared.feedback,
        services.follower.models,
        services.metrics,
        shared.experiment,
    )
    return call.answer(FeedbackResponse, **receipt)


@router.get(
    "/v1/items/{item_id:id}/availability",
    response_model=AvailabilityResponse,
    dependencies=[needs("read")],
    tags=["items"],
)
async def availability(item_id: ItemId, shared: SharedDep, call: CallDep) -> Response:
    """Whether an item may be shown."""
    available = await shared.availability.get(item_id)
    return _availability(call, item_id, available=available)


@router.put(
    "/v1/items/{item_id:id}/availability",
    response_model=AvailabilityResponse,
    responses=NOT_FOUND,
    dependencies=[needs("admin")],
    tags=["items"],
)
async def put_availability(
    item_id: ItemId, request: AvailabilityRequest, shared: SharedDep, call: CallDep
) -> Response:
    """Hide an item or show it again: it holds for every replica from the next request on.

    A hidden item is in no list, whatever the list is made from; candidates that are left out are
    named in `unavailable_ids`. It outlives models, and an item may be hidden before a model has it.
    One that was deleted is not shown again by this, but by putting it.
    """
    await shared.availability.put([item_id], available=request.available)
    return _availability(call, item_id, available=request.available)


@router.post(
    "/v1/items:availability",
    response_model=AvailabilitiesResponse,
    responses=NOT_FOUND,
    dependencies=[needs("admin")],
    tags=["items"],
)
async def put_availabilities(
    request: AvailabilitiesRequest, shared: SharedDep, call: CallDep
) -> Response:
    """Hide or show up to 10,000 items at once, as one `PUT` of each: all of them, or none."""
    call.charge(costs.of_ids(len(request.item_ids)))
    changed = await shared.availability.put(request.item_ids, available=request.available)
    return call.answer(
        AvailabilitiesResponse,
        available=request.available,
        items=len(request.item_ids),
        changed=changed,
        missing_ids=await to_thread.run_sync(_unknown, call, request.item_ids),
    )


@router.get(
    "/v1/models", response_model=ModelsResponse, dependencies=[needs("read")], tags=["model"]
)
async def models(
    shared: SharedDep,
    call: CallDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    cursor: Annotated[GivenCursor, Query()] = None,
) -> Response:
    """The published versions, newest first: which is live, which was before, which is pinned."""
    call.charge(costs.of_entries(limit))
    last = place_of("models", cursor, tuple[float, str])
    state = await shared.registry.state()
    listed = ((state.published_at[name], name) for name in state.newest_first)
    left = [each for each in listed if last is None or each < last]
    shown = left[:limit]
    found = await shared.registry.versions(state, [name for _, name in shown])
    return call.answer(
        ModelsResponse,
        **_pointers(state),
        models=[_version(each, state) for each in found],
        warnings=[*state.warnings, *await shared.store.odd_keys()],
        next_cursor=cursor_of("models", *shown[-1]) if len(left) > limit else None,
    )


@router.post(
    "/v1/models/{version}:activate",
    response_model=PointersResponse,
    responses=NOT_FOUND,
    dependencies=[needs("admin")],
    tags=["model"],
)
async def activate(
    version: Version, request: ActivationRequest, shared: SharedDep, call: CallDep
) -> Response:
    """Make a version live: an older one (a rollback) or one that a pin has held back.

    Pinned, it stays live whatever is published. Each replica loads it and switches by itself, and
    keeps serving what it has until then; `GET /v1/model` says what one serves.
    """
    state = await shared.registry.activate(version, pin=request.pin)
    return call.answer(PointersResponse, **_pointers(state))


@router.post(
    "/v1/models:unpin",
    response_model=PointersResponse,
    dependencies=[needs("admin")],
    tags=["model"],
)
async def unpin(shared: SharedDep, call: CallDep) -> Response:
    """Let the next publish go live again; what is live stays."""
    state = await shared.registry.unpin()
    return call.answer(PointersResponse, **_pointers(state))


@router.post(
    "/v1/models/{version}:canary",
    response_model=PointersResponse,
    responses=NOT_FOUND | CONFLICT,
    dependencies=[needs("admin")],
    tags=["model"],
)
async def start_canary(
    version: Candidate, request: CanaryRequest, shared: SharedDep, call: CallDep
) -> Response:
    """Let a version serve a share of the users, always the same ones, beside the live one.

    Of the canary itself this changes the share. To activate it promotes it; replicas end it when it
    misbehaves; whatever else goes live or is pinned ends it too.
    """
    state = await shared.registry.start_canary(version, request.share)
    return call.answer(PointersResponse, **_pointers(state))


@router.post(
    "/v1/models:stop-canary",
    response_model=PointersResponse,
    dependencies=[needs("admin")],
    tags=["model"],
)
async def stop_canary(shared: SharedDep, call: CallDep) -> Response:
    """Serve everybody from the live version again."""
    state = await shared.registry.end_canary("stopped", "stopped by an administrator")
    return call.answer(PointersResponse, **_pointers(state))


def _availability(call: Call, item_id: str, *, available: bool) -> Response:
    return call.answer(
        AvailabilityResponse,
        item_id=item_id,
        available=available,
        missing_ids=_unknown(call, [item_id]),
    )


def _unknown(call: Call, item_ids: Sequence[str]) -> list[str]:
    """Those of some ids that the live model does not know."""
    snapshot = call.services.follower.snapshot
    row = None if snapshot is None else snapshot.items.ids.row
    return [] if row is None else [each for each in item_ids if row(each) is None]


def _pointers(state: State) -> dict[str, Any]:
    canary = state.canary
    record = {} if canary is None else canary.model_dump(exclude={"version"})
    return {
        "live": state.live,
        "previous": state.previous,
        "pinned": state.pinned,
        "canary": canary
        and {"model_version": canary.version, **record, "answers": state.canary_answers},
    }


def _version(published: PublishedVersion, state: State) -> ModelVersion:
    manifest = published.manifest
    return ModelVersion(
        model_version=published.version,
        published_at=published.published_at,
        created_at=None if manifest is None else datetime.fromisoformat(manifest.created_at),
        metrics={} if manifest is None else manifest.metrics,
        live=published.version == state.live,
        previous=published.version == state.previous,
        pinned=published.version == state.pinned,
        canary=state.running is not None and published.version == state.running.version,
        early=manifest is not None and manifest.training.early,
        report=manifest is not None and REPORT in manifest.files,
        usable=manifest is not None,
    )
