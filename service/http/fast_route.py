"""Routes whose requests are read by what was compiled of their signature when they were declared.

The framework's own way of reading stays behind it: it makes the OpenAPI document and words every
refusal, as whatever is not in order is handed on to it as it came. Knows the kinds of parameters
that this service's routes have; knows no route.
"""

# FOLDED service/http/fast_route.py: A body that has been read, handed out again.
#
#   Knows ASGI's messages; knows nothing about what is in them.
#
# FOLDED service/http/fast_route.py: Takes requests straight to their lean routes, past the framework's router and what surrounds it.
#
#   Whatever a lean route does not answer, and whatever is no lean route, goes on to the framework as it
#   came; unexpected failures go up to it. Pure ASGI, inside the framework's middleware for failures.
#   Knows nothing about what a route does.
#

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from inspect import iscoroutinefunction
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette._utils import get_route_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import refusal
from service.schemas.errors import RequestRefused, SourceUnavailable


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands a body out again, then goes on."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


Answer = Callable[[Request], Coroutine[Any, Any, Response | None]]
Check = Callable[..., tuple[Any, Any]]
"""A value and the faults of it, from a raw one."""


_KEPT_QUERIES, _KEPT_LENGTH = 1_024, 256
"""Queries that are read once, and the longest of them in bytes: callers ask in few ways. What was
read is handed to every request that asks so, and is not to be written to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parameter:
    """A value in the path or the query."""

    name: str
    alias: str
    check: Check
    required: bool

    @classmethod
    def of(cls, field: Any) -> "_Parameter":
        required = field.field_info.is_required()
        return cls(name=field.name, alias=field.alias, check=field.validate, required=required)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """All of the query, or the body, as one model."""

    name: str
    check: Check
    lists: frozenset[str]
    """Fields that may be given several times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A dependency and what it is handed: results of earlier ones, and maybe the request."""

    call: Callable[..., Coroutine[Any, Any, Any]]
    results: tuple[tuple[str, int], ...]
    request_name: str | None

    def arguments(self, request: Request, results: list[Any]) -> dict[str, Any]:
        arguments = {name: results[place] for name, place in self.results}
        if self.request_name is not None:
            arguments[self.request_name] = request
        return arguments


class LeanRoute(APIRoute):
    """A route that costs little to reach.

    Its function is a coroutine that returns a `Response`. It takes values of the path, one model or
    single values of the query, one model as body, and what coroutines without parameters of their
    own return; TypeError when it is declared otherwise. Dependencies belong to the route or its
    router, not to `include_router`: those are not seen here.
    """

    answer: Answer
    """Its answer to a request that is in order; None: the framework has to look."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Reads what is in order, and leaves the rest to the framework."""
        framework = super().get_route_handler()
        self.answer = answer = _answer(self.dependant)

        async def handle(request: Request) -> Response:
            response = await answer(request)
            return await framework(request) if response is None else response

        return handle


def _answer(function: Dependant) -> Answer:
    read = _Reader(function)
    *dependencies, endpoint = _steps(function)

    async def answer(request: Request) -> Response | None:
        given = await read(request)
        if given is None:
            return None
        results: list[Any] = []
        for step in dependencies:
            results.append(await step.call(**step.arguments(request, results)))
        response: Response = await endpoint.call(**given, **endpoint.arguments(request, results))
        return response

    return answer


class _Reader:
    """The parameters of one function, but for its dependencies."""

    def __init__(self, function: Dependant) -> None:
        if function.header_params or function.cookie_params or function.response_param_name:
            raise TypeError(f"{function.path}: a lean route reads path, query and body alone")
        self._path = [_Parameter.of(field) for field in function.path_params]
        models = [_model(field) for field in function.query_params]
        if len(models) > 1 and any(models):
            raise TypeError(f"{function.path}: a lean route's query is one model, or no model")
        self._query_model = models[0] if models else None
        self._query = [_Parameter.of(f) for f in function.query_params if not self._query_model]
        if any(_is_list(field.field_info.annotation) for field in function.query_params):
            raise TypeError(f"{function.path}: a lean route reads lists in a model alone")
        bodies = [_model(field) for field in function.body_params]
        if len(bodies) > 1 or None in bodies:
            raise TypeError(f"{function.path}: a lean route's body is one model")
        self._body = bodies[0] if bodies else None
        self._kept_query = lru_cache(_KEPT_QUERIES)(self._read_query)

    def _read_query(self, text: bytes) -> dict[str, Any] | None:
        given: dict[str, Any] = {}
        query = parse_qsl(text.decode("latin-1"), keep_blank_values=True)
        if self._query_model is None:
            return given if _take(given, self._query, dict(query)) else None
        raw = _gathered(query, self._query_model.lists)
        return given if _take_model(given, self._query_model, raw) else None

    async def __call__(self, request: Request) -> dict[str, Any] | None:
        """Arguments by name; None if there is anything that the framework has to look at."""
        given: dict[str, Any] = {}
        if not _take(given, self._path, request.path_params):
            return None
        text: bytes = request.scope["query_string"]
        query = (self._kept_query if len(text) <= _KEPT_LENGTH else self._read_query)(text)
        if query is None:
            return None
        given.update(query)
        if self._body is None:
            return given
        body = await _json(request)
        return given if _take_model(given, self._body, body) else None


def _model(field: Any) -> _Model | None:
    annotation = field.field_info.annotation
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return None
    lists = frozenset(
        name for name, info in annotation.model_fields.items() if _is_list(info.annotation)
    )
    return _Model(name=field.name, check=field.validate, lists=lists)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(map(_is_list, get_args(annotation)))


def _take(given: dict[str, Any], parameters: list[_Parameter], raw: Mapping[str, Any]) -> bool:
    """Add what is there, checked; a default is the function's own. False: not in order."""
    for parameter in parameters:
        if parameter.alias in raw:
            given[parameter.name], faults = parameter.check(raw[parameter.alias], {}, loc=())
            if faults:
                return False
        elif parameter.required:
            return False
    return True


def _take_model(given: dict[str, Any], model: _Model, raw: Any) -> bool:
    given[model.name], faults = model.check(raw, {}, loc=())
    return not faults


def _gathered(query: list[tuple[str, str]], lists: frozenset[str]) -> dict[str, Any]:
    """Of a value that is given again, the last one counts; of those in `lists`, all."""
    values: dict[str, Any] = {}
    for name, value in query:
        if name in lists:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    return values


async def _json(request: Request) -> Any:
    """The body; None, which is no model, if it is not simply JSON."""
    kind: str = request.headers.get("content-type", "")
    if kind.partition(";")[0] != "application/json":
        return None
    try:
        return orjson.loads(await request.body())
    except ValueError:
        return None


def _steps(function: Dependant) -> list[_Step]:
    """Dependencies, each once and after those that it needs; the function itself is the last."""
    steps: list[_Step] = []
    _add(function, steps, {})
    return steps


def _add(function: Dependant, steps: list[_Step], places: dict[Any, int]) -> int:
    if function.call in places:
        return places[function.call]
    for dependency in function.dependencies:
        if dependency.path_params or dependency.query_params or dependency.body_params:
            raise TypeError(f"{function.path}: a lean route's dependencies have no parameters")
    results = tuple(
        (dependency.name, _add(dependency, steps, places)) for dependency in function.dependencies
    )
    call = function.call
    assert call is not None
    if not (iscoroutinefunction(call) or iscoroutinefunction(type(call).__call__)):
        raise TypeError(f"{function.path}: a lean route calls coroutines alone, not {call}")
    step = _Step(
        call=call,
        results=tuple((name, place) for name, place in results if name is not None),
        request_name=function.request_param_name or function.http_connection_param_name,
    )
    steps.append(step)
    places[call] = len(steps) - 1
    return places[call]


class LeanDispatch:
    """Answers requests to the lean routes of some routers.

    Args:
        app: what answers everything else.
        routers: in their order; they are included without a prefix, and nothing that the
            application has before them matches the path of a lean route.
    """

    def __init__(self, app: ASGIApp, *, routers: Sequence[APIRouter]) -> None:
        self._app = app
        self._routes = [
            (route.path_regex.match, route.methods or set(), route)
            for router in routers
            for route in router.routes
            if isinstance(route, LeanRoute)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; anything but HTTP passes through."""
        route = self._route(scope) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await route.answer(request)
        except (RequestRefused, SourceUnavailable) as error:
            response = refusal(request, error)
        if response is not None:
            await response(scope, receive, send)
            return
        if route.body_field is not None:
            receive = replayed(await request.body(), receive)
        await self._app(scope, receive, send)

    def _route(self, scope: Scope) -> LeanRoute | None:
        """The route of a request, noted in its scope as the framework does."""
        path, method = get_route_path(scope), scope["method"]
        for match, methods, route in self._routes:
            found = match(path)
            if found is not None and method in methods:
                convert = route.param_convertors
                scope["path_params"] = {
                    name: convert[name].convert(value) for name, value in found.groupdict().items()
                }
                scope["route"], scope["endpoint"] = route, route.endpoint
                return route
        return None
