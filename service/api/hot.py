"""The two busiest routes, read by hand instead of by FastAPI.

FastAPI's reading of a request costs about a quarter of the processor time of a whole answer
(docs/adr/0019), and the layers of both frameworks around a route are a part of the rest
(docs/adr/0036). These two plain Starlette routes stand in front of all that and call the same
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
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.dependencies import Call, admit, get_models, get_services, show_key
from service.api.recommend import recommend, request_by
from service.http import json_bodies
from service.http.problems import MAX_ID_LENGTH, error_answer
from service.http.queries import check_names
from service.schemas.requests import RecommendationParams, RecommendationRequest

Value = TypeVar("Value")
Faults = Sequence[Mapping[str, Any]]

KEPT_QUERIES = 256
"""Most query strings whose requests are kept: callers ask in few ways, and need not have
them read again."""

_USER_ID = TypeAdapter(Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)])
_PARAMS = TypeAdapter(RecommendationParams)
_REQUEST = TypeAdapter(RecommendationRequest)


class _Route(Route):
    """Names itself in the scope, as FastAPI's routes do: metrics and logs tell it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return match, {**found, "route": self}


class HotRoutes:
    """Answers these routes, and hands every other request on to the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._routes = _routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            for route in self._routes:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    response = await _answered(route, Request(scope, receive, send))
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


async def _answered(route: Route, request: Request) -> Response:
    try:
        response: Response = await route.endpoint(request)
    except Exception as error:  # noqa: BLE001  # it is told and logged
        response = error_answer(request, error)
    return response


def _routes() -> list[Route]:
    of_user = "/v1/users/{user_id:listed}/recommendations"
    return [
        _Route(of_user, _recommend_to_user, methods=["GET"]),
        _Route("/v1/recommendations", _recommend, methods=["POST"]),
    ]


async def _recommend_to_user(request: Request) -> Response:
    call = await _begun(request)
    models = await get_models(call.services)
    wanted, more_faults = _wanted(request.scope["query_string"])
    user_id, faults = _checked(_USER_ID, request.path_params["user_id"], "path", "user_id")
    if user_id is None or wanted is None:
        raise RequestValidationError([*faults, *more_faults])
    return await recommend(wanted.model_copy(update={"user_id": user_id}), models, call)


async def _recommend(request: Request) -> Response:
    call = await _begun(request)
    models = await get_models(call.services)
    check_names(request.scope["query_string"], {})
    wanted, faults = _checked(_REQUEST, await _body(request), "body")
    if wanted is None:
        raise RequestValidationError(faults)
    return await recommend(wanted, models, call)


async def _begun(request: Request) -> Call:
    services = await get_services(request)
    admit("read", request, services, await show_key(request))
    return Call(request, services)


@lru_cache(KEPT_QUERIES)
def _wanted(query: bytes) -> tuple[RecommendationRequest | None, Faults]:
    """What a query asks for, for anybody; None and what is wrong if it is not valid.

    InvalidRequest for names that it may not have, or not twice.
    """
    check_names(query, RecommendationParams.model_fields)
    given = QueryParams(query)
    values: dict[str, Any] = dict(given)
    if "category" in given:
        values["category"] = given.getlist("category")
    params, faults = _checked(_PARAMS, values, "query")
    return None if params is None else request_by("anybody", params), faults


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
        return json_bodies.read(text)
    except json.JSONDecodeError as error:
        raise _not_valid("json_invalid", ("body", error.pos), error=error.msg) from error
    except (ValueError, RecursionError) as error:  # no UTF-8, or a number of thousands of digits
        raise HTTPException(400, "There was an error parsing the body") from error


def _is_json(headers: Headers) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def _not_valid(
    kind: str, place: tuple[str | int, ...], message: str = "", **context: str
) -> RequestValidationError:
    fault = {"type": kind, "loc": place, "msg": message, "input": None, "ctx": context}
    return RequestValidationError([fault])
