"""The routes of the catalogue: items, categories, users."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Response

from service.api.dependencies import (
    GUARDED,
    REFUSED,
    CallDep,
    Services,
    SnapshotDep,
    needs,
)
from service.recommend.resolution import read_user
from service.recommend.search import ItemFinder, category_sizes, find_users
from service.schemas.requests import ItemLookup, ItemSearch
from service.schemas.responses import CategoriesResponse, ItemsResponse, UsersResponse
from service.serving.snapshot import Snapshot

router = APIRouter(
    prefix="/v1",
    tags=["look up"],
    dependencies=[needs("read")],
    responses=GUARDED | REFUSED,
)


async def _finder(snapshot: Snapshot, services: Services) -> ItemFinder:
    nobody = await read_user(snapshot, None)
    return ItemFinder(snapshot=snapshot, hidden_rows=nobody.hidden_rows, pictures=services.pictures)


@router.get("/items", response_model=ItemsResponse)
async def items(
    search: Annotated[ItemSearch, Query()],
    snapshot: SnapshotDep,
    call: CallDep,
) -> Response:
    """Items by a part of the title or by category, the most popular first.

    Hidden items are found, with `available` false.
    """
    finder = await _finder(snapshot, call.services)
    found = await to_thread.run_sync(finder.find, search, limiter=call.services.limiter)
    return call.answer(ItemsResponse, model_version=snapshot.version, items=found, missing_ids=[])


@router.post("/items:lookup", response_model=ItemsResponse)
async def named_items(request: ItemLookup, snapshot: SnapshotDep, call: CallDep) -> Response:
    """Some items in the order in which they are named.

    Ids that the model does not know are skipped and named in `missing_ids`.
    """
    finder = await _finder(snapshot, call.services)
    found, missing = await to_thread.run_sync(
        finder.named, request.item_ids, limiter=call.services.limiter
    )
    return call.answer(
        ItemsResponse, model_version=snapshot.version, items=found, missing_ids=missing
    )


@router.get("/categories", response_model=CategoriesResponse)
async def categories(snapshot: SnapshotDep, call: CallDep) -> Response:
    """Every category that a list can be restricted to, and how many items are in it."""
    return call.answer(
        CategoriesResponse, model_version=snapshot.version, categories=category_sizes(snapshot)
    )


@router.get("/users", response_model=UsersResponse)
async def users(
    snapshot: SnapshotDep,
    call: CallDep,
    prefix: Annotated[str, Query(max_length=256, examples=["19"])] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """Users whom the model knows, by the beginning of their ids."""
    return call.answer(
        UsersResponse,
        model_version=snapshot.version,
        user_ids=find_users(snapshot, prefix, limit),
    )
