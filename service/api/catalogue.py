"""The routes that look up: items, categories, users."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Response

from model.runtime.top_k import Rows
from service.api.dependencies import (
    GUARDED,
    NOT_FOUND,
    REFUSED,
    Call,
    CallDep,
    ModelsDep,
    SnapshotDep,
    needs,
)
from service.http.json_bodies import JsonRoute
from service.http.problems import UserId
from service.recommend.resolution import read_user
from service.recommend.search import (
    category_sizes,
    described,
    find_items,
    find_users,
    warnings_of_search,
)
from service.recommend.user_detail import user_detail
from service.schemas import costs
from service.schemas.paging import MOST, GivenCursor
from service.schemas.requests import ItemLookup, ItemSearch
from service.schemas.responses import (
    CatalogueItem,
    CategoriesResponse,
    ItemsResponse,
    UserResponse,
    UsersResponse,
)
from service.schemas.warned import Warned, told
from service.serving.snapshot import Snapshot

router = APIRouter(
    prefix="/v1",
    route_class=JsonRoute,
    tags=["look up"],
    dependencies=[needs("read")],
    responses=GUARDED | REFUSED,
)


async def _answer(
    find: Callable[[], tuple[Rows, list[str], str | None]],
    snapshot: Snapshot,
    call: Call,
    warnings: Sequence[Warned] = (),
) -> Response:
    """The answer with the items of these rows, the ids that are missing, and a cursor."""
    nobody = await read_user(snapshot, None)

    def work() -> tuple[list[CatalogueItem], list[str], str | None]:
        rows, missing, cursor = find()
        pictures = call.services.pictures
        return described(snapshot.items, rows, nobody.hidden_rows, pictures), missing, cursor

    found, missing, cursor = await to_thread.run_sync(work, limiter=call.services.limiter)
    return call.answer(
        ItemsResponse,
        model_version=snapshot.version,
        items=found,
        missing_ids=missing,
        next_cursor=cursor,
        **told(warnings),
    )


@router.get("/items", response_model=ItemsResponse)
async def items(
    search: Annotated[ItemSearch, Query()], snapshot: SnapshotDep, call: CallDep
) -> Response:
    """Items by a part of the title or by category, the most popular first.

    Hidden items are found, with `available` false.
    """
    call.charge(costs.of_entries(search.limit))

    def find() -> tuple[Rows, list[str], str | None]:
        rows, cursor = find_items(snapshot.items, search)
        return rows, [], cursor

    return await _answer(find, snapshot, call, warnings_of_search(snapshot.items, search))


@router.post("/items:lookup", response_model=ItemsResponse)
async def named_items(request: ItemLookup, snapshot: SnapshotDep, call: CallDep) -> Response:
    """Some items in the order in which they are named.

    Ids that the model does not know are skipped and named in `missing_ids`.
    """
    call.charge(costs.of_entries(len(request.item_ids)))
    return await _answer(lambda: (*snapshot.items.rows(request.item_ids), None), snapshot, call)


@router.get("/categories", response_model=CategoriesResponse)
async def categories(
    snapshot: SnapshotDep,
    call: CallDep,
    limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
    cursor: Annotated[GivenCursor, Query()] = None,
) -> Response:
    """Categories that a list can be restricted to, and how many items are in each."""
    found, then = category_sizes(snapshot, limit, cursor)
    call.charge(costs.of_entries(len(found)))
    return call.answer(
        CategoriesResponse, model_version=snapshot.version, categories=found, next_cursor=then
    )


@router.get("/users", response_model=UsersResponse)
async def users(
    snapshot: SnapshotDep,
    call: CallDep,
    *,
    prefix: Annotated[str, Query(max_length=256, examples=["19"])] = "",
    limit: Annotated[int, Query(ge=1, le=MOST)] = 20,
    cursor: Annotated[GivenCursor, Query()] = None,
) -> Response:
    """Users whom the model knows, by the beginning of their ids."""
    call.charge(costs.of_entries(limit))
    await read_user(snapshot, None)  # who has been erased by now
    found, then = find_users(snapshot, prefix, limit, cursor)
    return call.answer(
        UsersResponse, model_version=snapshot.version, user_ids=found, next_cursor=then
    )


@router.get("/users/{user_id:id}", response_model=UserResponse, responses=NOT_FOUND)
async def user(
    user_id: UserId,
    models: ModelsDep,
    call: CallDep,
    *,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Most of each: items and events")] = 50,
    cursor: Annotated[GivenCursor, Query()] = None,
) -> Response:
    """What is known of a user: history, latest events, and the taste that follows from them.

    404 if neither the model nor Redis knows them. The taste is that of the 50 best items that they
    have not seen. Further pages have what is older of history and events.
    """
    call.charge(costs.of_entries(limit))
    served = models.of(user_id)
    state = await read_user(served.snapshot, user_id)
    work = partial(user_detail, served, state, limit, cursor)
    found = await to_thread.run_sync(work, limiter=call.services.limiter)
    return call.answer(UserResponse, **found)
