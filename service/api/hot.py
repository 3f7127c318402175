"""The two busiest routes, read by hand instead of by FastAPI.

FastAPI's reading of a request costs about a quarter of the processor time of a whole answer
(docs/adr/0019). These two plain Starlette routes stand in front of FastAPI's and call the same
functions. FastAPI's routes of `service.api.recommend` document them, and the tests compare what
both answer, refusals included.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import Field, TypeAdapter, ValidationError
from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from service.api.dependencies import Call, admit, begin_call, get_models, get_services, show_key
from service.api.recommend import recommend, recommend_to_user
from service.http.problems import MAX_ID_LENGTH
from service.schemas.requests import RecommendationParams, RecommendationRequest

Value = TypeVar("Value")
Faults = Sequence[Mapping[str, Any]]

KEPT_QUERIES = 256
"""Most query strings whose parameters are kept: callers ask in few ways, and reading them again
takes 2 % of the processor time of an answer."""

_USER_ID = TypeAdapter(Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)])
_PARAMS = TypeAdapter(RecommendationParams)
_REQUEST = TypeAdapter(RecommendationRequest)


class _Route(Route):
    """Names itself in the scope, as FastAPI's routes do: metrics and logs tell it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return match, {**found, "route": self}


def hot_routes() -> list[Route]:
    """The routes, to be matched before FastAPI's."""
    to_user = _Route("/v1/users/{user_id:id}/recommendations", _recommend_to_user, methods=["GET"])
    assert to_user.methods is not None
    to_user.methods.discard("HEAD")  # Starlette adds it; no other route of the API answers it
    return [to_user, _Route("/v1/recommendations", _recommend, methods=["POST"])]


async def _recommend_to_user(request: Request) -> Response:
    call = await _begun(request)
    models = await get_models(call.services)
    user_id, faults = _checked(_USER_ID, request.path_params["user_id"], "path", "user_id")
    params, more_faults = _params(request.scope["query_string"])
    if user_id is None or params is None:
        raise RequestValidationError([*faults, *more_faults])
    return await recommend_to_user(user_id, params, models, call)


async def _recommend(request: Request) -> Response:
    call = await _begun(request)
    models = await get_models(call.services)
    wanted, faults = _checked(_REQUEST, await _body(request), "body")
    if wanted is None:
        raise RequestValidationError(faults)
    return await recommend(wanted, models, call)


async def _begun(request: Request) -> Call:
    services = await get_services(request)
    admit("read", request, services, await show_key(request))
    return await begin_call(request, services)


@lru_cache(KEPT_QUERIES)
def _params(query: bytes) -> tuple[RecommendationParams | None, Faults]:
    given = QueryParams(query)
    values: dict[str, Any] = dict(given)  # of several values of one name the last counts
    if "category" in given:
        values["category"] = given.getlist("category")
    return _checked(_PARAMS, values, "query")


def _checked(
    kind: TypeAdapter[Value], value: object, *place: str
) -> tuple[Value, Faults] | tuple[None, Faults]:
    """The value and no faults if it is valid; otherwise None and what is wrong."""
    try:
        return kind.validate_python(value, from_attributes=True), ()
    except ValidationError as error:
        return None, [fault | {"loc": (*place, *fault["loc"])} for fault in error.errors()]


async def _body(request: Request) -> object:
    """The body's JSON; its bytes, which are no valid request, if it is of another type."""
    text = await request.body()
    if not text:
        raise _not_valid("missing", ("body",), "Field required")
    if not _is_json(request.headers):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _not_valid("json_invalid", ("body", error.pos), "JSON decode error") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, "There was an error parsing the body") from error


def _is_json(headers: Headers) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def _not_valid(kind: str, place: tuple[str | int, ...], message: str) -> RequestValidationError:
    return RequestValidationError([{"type": kind, "loc": place, "msg": message, "input": None}])
