"""The routes that change the catalogue while a model is served.

A service without Redis offers none but the one that shows an item.
"""

import asyncio
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response

from service.api.dependencies import (
    GUARDED,
    NOT_FOUND,
    REFUSED,
    SHARED,
    Call,
    CallDep,
    Services,
    ServicesDep,
    SharedDep,
    SnapshotDep,
    needs,
)
from service.http.json_bodies import JsonRoute
from service.http.problems import ItemId
from service.ops.process import beside_requests
from service.recommend.items import (
    BulkPut,
    deleted,
    encoded_by,
    item_detail,
    item_patched,
    item_put,
)
from service.recommend.resolution import read_user
from service.schemas import costs
from service.schemas.errors import NotReady, SourceUnavailable, UnknownItem
from service.schemas.requests import ItemPatch, ItemRequest
from service.schemas.responses import (
    ItemChangeResponse,
    ItemDeletedResponse,
    ItemResponse,
    ItemsChangeResponse,
)
from service.serving.growth import GrowingModel
from service.store.items import ItemPut, Written

SEEN_SECONDS = 0.5
"""So long an answer waits until this replica has the change too; it usually takes milliseconds."""


async def get_growing(services: ServicesDep) -> GrowingModel:
    """The live model, which items are checked against; NotReady before the first is loaded."""
    growing = services.follower.growing
    if growing is None:
        raise NotReady(services.follower.live.trouble or "a model is being loaded")
    return growing


GrowingDep = Annotated[GrowingModel, Depends(get_growing)]

router = APIRouter(route_class=JsonRoute, tags=["items"], responses=GUARDED | REFUSED)


@router.get(
    "/v1/items/{item_id:item}",
    response_model=ItemResponse,
    responses=NOT_FOUND,
    dependencies=[needs("read")],
)
async def item(item_id: ItemId, snapshot: SnapshotDep, call: CallDep) -> Response:
    """One item: what people see of it, and what the model knows it by."""
    nobody = await read_user(snapshot, None)
    services = call.services
    work = partial(item_detail, snapshot, item_id, nobody.hidden_rows, services.pictures)
    found = await to_thread.run_sync(work, limiter=services.limiter)
    return call.answer(ItemResponse, model_version=snapshot.version, **found)


@router.put(
    "/v1/items/{item_id:item}",
    response_model=ItemChangeResponse,
    responses=SHARED | {201: {"model": ItemChangeResponse, "description": "It is new"}},
    dependencies=[needs("catalogue")],
)
async def put_item(
    item_id: ItemId, request: ItemRequest, shared: SharedDep, growing: GrowingDep, call: CallDep
) -> Response:
    """Put an item, new or not: within a second it is recommended, found and explained everywhere.

    A new item is scored as one that nobody has chosen yet, by its `features` or by what else is
    known of it; `encoded_by` says which. An item that the model was trained with keeps what the
    model has learnt of it. Retraining reads the same items.
    """
    put = item_put(growing, item_id, request)
    is_new = growing.snapshot.items.ids.row(item_id) is None
    written = await shared.items.put(put.arguments())
    return await _changed(call, growing, put, written, is_new=is_new)


@router.patch(
    "/v1/items/{item_id:item}",
    response_model=ItemChangeResponse,
    responses=SHARED | NOT_FOUND,
    dependencies=[needs("catalogue")],
)
async def patch_item(
    item_id: ItemId, patch: ItemPatch, shared: SharedDep, growing: GrowingDep, call: CallDep
) -> Response:
    """Change some fields of an item, also of one that the model was trained with."""
    while True:
        before, record = await shared.items.get(item_id)
        if record is not None and record.retired:
            raise UnknownItem(f"item {item_id!r} was deleted; put it again")
        if record is None and growing.base.items.ids.row(item_id) is None:
            raise UnknownItem(f"there is no item {item_id!r}; put it first")
        put = item_patched(growing, record, item_id, patch)
        written = await shared.items.replace(before, put)
        if written is not None:  # otherwise somebody else was faster
            return await _changed(call, growing, put, written, is_new=False)


@router.delete(
    "/v1/items/{item_id:item}",
    response_model=ItemDeletedResponse,
    responses=SHARED | NOT_FOUND,
    dependencies=[needs("catalogue")],
)
async def delete_item(
    item_id: ItemId, shared: SharedDep, growing: GrowingDep, call: CallDep
) -> Response:
    """Retire an item: from the next request on nobody is shown it, also by later models.

    Its record is kept as a mark, so that retraining leaves out what was put. To bring it back, put
    it again.
    """
    _, record = await shared.items.get(item_id)
    if growing.base.items.ids.row(item_id) is None and (record is None or record.retired):
        raise UnknownItem(f"there is no item {item_id!r}")
    written = await shared.items.put(deleted(item_id).arguments())
    await _seen(call.services)
    return call.answer(ItemDeletedResponse, item_id=item_id, revision=written.revision)


_LINES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string", "description": "A JSON object on each line"},
                "example": '{"item_id": "9001", "title": "Kolya, restored"}\n'
                '{"item_id": "9002", "title": "Kolya, the making of"}\n',
            }
        },
    }
}


@router.post(
    "/v1/items:bulk",
    response_model=ItemsChangeResponse,
    responses=SHARED,
    dependencies=[needs("catalogue")],
    openapi_extra=_LINES,
)
async def put_items(
    request: Request, shared: SharedDep, growing: GrowingDep, call: CallDep
) -> Response:
    """Put up to 10,000 items, one as JSON on each line: as one `PUT`, with `item_id` beside it.

    All lines are checked first, and faults are named by line: then none is put. If Redis fails
    while they are put (503), some have been; send them again.
    """
    body = await request.body()
    bulk = await to_thread.run_sync(beside_requests, partial(BulkPut, growing, body))
    call.charge(costs.of_entries(bulk.items))
    written = await shared.items.put(bulk.arguments)
    return call.answer(
        ItemsChangeResponse,
        model_version=growing.base.version,
        items=bulk.items,
        new=written.new,
        encoded_by=bulk.encoded_by,
        revision=written.revision,
    )


async def _changed(
    call: Call, growing: GrowingModel, put: ItemPut, written: Written, *, is_new: bool
) -> Response:
    await _seen(call.services)
    answer = call.answer(
        ItemChangeResponse,
        model_version=growing.base.version,
        item_id=put.record.item_id,
        encoded_by=encoded_by(growing, put.record),
        revision=written.revision,
    )
    answer.status_code = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    return answer


async def _seen(services: Services) -> None:
    """Wait until this replica has what was written, but not for long, nor for many others."""

    async def follow() -> None:
        with suppress(SourceUnavailable):  # it is looked for again and again
            await services.follower.follow_some_items()

    await asyncio.wait([asyncio.ensure_future(follow())], timeout=SEEN_SECONDS)
