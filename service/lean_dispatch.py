"""Takes requests straight to their lean routes, past the framework's router and what surrounds it.

Whatever a lean route does not answer, and whatever is no lean route, goes on to the framework as it
came; unexpected failures go up to it. Pure ASGI, inside the framework's middleware for failures.
Knows nothing about what a route does.
"""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import RequestRefused, SourceUnavailable
from service.lean_route import LeanRoute
from service.problems import refusal
from service.replayed import replayed


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
