"""The routes of the default rules, which hold for every list of a namespace.

A service without Redis offers none of them.
"""

from collections.abc import Sequence

from fastapi import APIRouter, Response

from service.api.dependencies import (
    GUARDED,
    REFUSED,
    SHARED,
    Call,
    CallDep,
    SharedDep,
    needs,
)
from service.http.json_bodies import JsonRoute
from service.recommend.rules import check_rules, unknown_pins, warnings_of
from service.schemas.responses import RulesResponse
from service.schemas.rules import NO_RULES, Rules
from service.schemas.warned import told

router = APIRouter(
    prefix="/v1", route_class=JsonRoute, tags=["rules"], responses=GUARDED | REFUSED | SHARED
)


@router.get("/rules", response_model=RulesResponse, dependencies=[needs("read")])
async def rules(shared: SharedDep, call: CallDep) -> Response:
    """The rules that hold for every list but those that say `"default_rules": false`."""
    return _answer(call, *await shared.rules.get())


@router.put("/rules", response_model=RulesResponse, dependencies=[needs("admin")])
async def put_rules(request: Rules, shared: SharedDep, call: CallDep) -> Response:
    """Replace the default rules: these hold for every replica from the next request on.

    A request's own rules join them. They outlive models; where one no longer fits a later model, it
    concerns no item, and answers have a warning.
    """
    snapshot = call.services.follower.snapshot
    if snapshot is not None:
        check_rules(snapshot.items, request)
    await shared.rules.put(request)
    return _answer(call, request)


@router.delete("/rules", response_model=RulesResponse, dependencies=[needs("admin")])
async def delete_rules(shared: SharedDep, call: CallDep) -> Response:
    """Have no default rules, from the next request on."""
    await shared.rules.delete()
    return _answer(call, NO_RULES)


def _answer(call: Call, found: Rules, warnings: Sequence[str] = ()) -> Response:
    snapshot = call.services.follower.snapshot
    unknown = [] if snapshot is None else told(warnings_of(snapshot.items, found))["warnings"]
    return call.answer(
        RulesResponse,
        rules=found.model_dump(mode="json"),
        warnings=[*warnings, *unknown],
        missing_ids=[] if snapshot is None else unknown_pins(snapshot.items, found),
    )
