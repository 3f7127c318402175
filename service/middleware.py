"""What happens to every HTTP request: it gets an id, is counted, timed and logged.

Pure ASGI. Knows nothing about what a route does.
"""

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.logs import request_id
from service.metrics import Metrics

HEADER = "X-Request-ID"
OTHER = "other"
"""Route label of every path that is no route of the API, so that a scanner cannot make labels
without end."""

_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_PROBES = frozenset({"/livez", "/readyz", "/metrics"})
_logger = logging.getLogger(__name__)


class RequestMiddleware:
    """Wraps the application; one instance serves every request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        current = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        # Left set: the server runs each request in a task of its own, and logs its failure there.
        request_id.set(current)
        scope.setdefault("state", {})["request_id"] = current
        status = 500
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = current
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", OTHER)
        method = scope["method"] if route != OTHER else "any"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.request_seconds.labels(route, method).observe(seconds)
        level = logging.DEBUG if route in _PROBES and status < 400 else logging.INFO
        _logger.log(
            level,
            "%s %s %d",
            scope["method"],
            scope["path"],
            status,
            extra={"route": route, "status": status, "ms": round(seconds * 1000, 2)},
        )
