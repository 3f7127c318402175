"""What happens to every HTTP request, in one pass around the application.

It gets an id and a deadline, and its body is read, up to a length. Its answer gets the usual
headers, and is counted, timed and logged.
"""

import asyncio
import logging
import random
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.tracing.spans import current as current_spans
from service.http.problems import not_text, problem_answer
from service.ops.attempt import Attempt, current_attempt, may_be_done
from service.ops.logs import request_id
from service.ops.metrics import ANY, OTHER, Metrics
from service.ops.paths import marked
from service.ops.pseudonyms import Pseudonyms
from service.schemas.errors import (
    InvalidRequest,
    NotRead,
    OutcomeUnknown,
    RepeatedHeader,
    RequestRefused,
    TooLarge,
    TooLate,
)

if TYPE_CHECKING:
    from model.tracing.otel import OtelSpan, Traces

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Ref: OWASP REST Security Cheat Sheet, Security Headers. The proxy that ends TLS has to add
Strict-Transport-Security."""
RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
"""As ASGI sends them."""
HEADER = "X-Request-ID"
CLIENT_LEFT = 499
"""Status label (nginx's) of a request whose client left before it was complete; never sent."""

BULK_TIMES = 6
"""Ten thousand items are checked beside requests, with pauses."""
_QUICKLY_UNPACKED = 64 * 1024
"""Bytes that are unpacked without a thread."""
_RAW_HEADER = HEADER.lower().encode()
_SANE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_ONCE = frozenset(
    {b"host", b"origin", b"authorization", b"content-type", b"content-encoding", b"last-event-id"}
)
"""Headers of one value; the server looks after those that say how long a body is."""
_PROBES = frozenset({"/livez", "/readyz", "/metrics"})
_logger = logging.getLogger(__name__)


class _ClientLeft(Exception):
    """There is nobody to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a request may take."""

    body_bytes: int
    """Longest body. The framework's own `max_body_size` would answer in plain text."""
    bulk_bytes: int
    """Longest body of a path that ends in `:bulk`."""
    seconds: float
    """Longest time for an answer."""


class RequestMiddleware:
    """Wraps the application; one instance serves every request.

    Args:
        app: the application, including its answers to failures.
        metrics: where requests are counted.
        pseudonyms: what is logged instead of users' ids.
        check: given method, path and headers, raises RequestRefused for what is not to be trusted.
        limits: of a request.
        traces: what begins the trace of a request, or goes on with the caller's, if there are any.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        pseudonyms: Pseudonyms,
        check: Callable[[str, str, Mapping[bytes, bytes]], None],
        limits: Limits,
        traces: "Traces | None" = None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._pseudonyms = pseudonyms
        self._check = check
        self._limits = limits
        self._traces = traces
        self._random = random.Random()  # ids have to be distinct, not secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        method = scope["method"]
        if method == "HEAD":  # as GET; the server, which has its own scope, sends no body
            scope = {**scope, "method": "GET"}
        sent = dict(scope["headers"])
        given = sent.get(_RAW_HEADER, b"")
        sane = _SANE_ID.fullmatch(given)
        current = given.decode() if sane else f"{self._random.getrandbits(128):032x}"
        # Never reset: the server runs each request in its own task, and logs its failure there.
        request_id.set(current)
        current_attempt.set(Attempt())
        scope.setdefault("state", {})["request_id"] = current
        span = None
        if self._traces is not None and scope["path"] not in _PROBES:
            span = _begun(self._traces, method, current, sent)
            current_spans.set((span,))
        answer = _Answer(send, current, header_alone=method == "HEAD")
        try:
            await self._bounded(scope, sent, receive, answer)
        except _ClientLeft:
            answer.status = CLIENT_LEFT
        finally:
            self._record(scope, method, answer.status, time.perf_counter() - started)
            if span is not None:
                route = _route_of(scope)
                span.answered(f"{method} {route}", answer.status, {"http.route": route})

    async def _bounded(
        self, scope: Scope, sent: dict[bytes, bytes], receive: Receive, answer: "_Answer"
    ) -> None:
        is_bulk = scope["path"].endswith(":bulk")
        seconds = self._limits.seconds * (BULK_TIMES if is_bulk else 1)
        try:
            if len(sent) < len(scope["headers"]):
                _check_once(scope["headers"])
            _read_text(scope)
            self._check(scope["method"], scope["path"], sent)
            async with asyncio.timeout(seconds) as limit:
                scope["state"]["deadline"] = limit  # which a stream may put off
                if b"content-length" in sent or b"transfer-encoding" in sent:
                    most = self._limits.bulk_bytes if is_bulk else self._limits.body_bytes
                    body = await _body(sent.get(b"content-length", b"0"), most, receive)
                    body = await _unpacked(body, sent.get(b"content-encoding", b""), most)
                    receive = _replayed(body, receive)
                await self._app(scope, receive, answer.send)
        except RequestRefused as error:  # of the application it has been answered
            await problem_answer(Request(scope), error)(scope, receive, answer.send)
        except TimeoutError:
            if answer.begun or not limit.expired():
                raise
            late = f"given up after {seconds:g} s"
            refusal = (
                OutcomeUnknown(late)
                if may_be_done()
                else TooLate(f"{late}; try again, or ask for less")
            )
            await problem_answer(Request(scope), refusal)(scope, receive, answer.send)

    def _record(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        route = _route_of(scope)
        self._metrics.answered(route, method if route != OTHER else ANY, status, seconds)
        level = logging.DEBUG if route in _PROBES and status < 400 else logging.INFO
        if _logger.isEnabledFor(level):
            _logger.log(
                level,
                "%s %s %d",
                method,
                self._pseudonyms.of_path(scope["path"]),
                status,
                extra={"route": route, "status": status, "ms": round(seconds * 1000, 2)},
            )


def _begun(
    traces: "Traces", method: str, current: str, headers: Mapping[bytes, bytes]
) -> "OtelSpan":
    """The span of a request; its path, which may name a user, is not in it."""
    known = {"http.request.method": method, "magnet.request_id": current}
    texts = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
    return traces.begin(method, "server", known, texts)


def _route_of(scope: Scope) -> str:
    route: str = getattr(scope.get("route"), "path_format", OTHER)
    return route


def _check_once(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """RepeatedHeader, if something that is read of a request is there twice."""
    counts = Counter(name for name, _ in headers)
    for name in sorted(_ONCE & counts.keys()):
        if counts[name] > 1:
            raise RepeatedHeader(f"{name.decode()} is there {counts[name]} times; send it once")


def _read_text(scope: Scope) -> None:
    """Have routes see the path of the API with its `%2F`.

    InvalidRequest for what the framework would read as U+FFFD: different ids as one.
    """
    for place, name in (("path", "raw_path"), ("query", "query_string")):
        raw: bytes = scope.get(name, b"")
        if b"%" in raw:
            try:
                text = marked(raw)
            except UnicodeDecodeError as error:
                raise InvalidRequest.of(place, not_text(error)) from None
            if place == "path" and text.startswith(scope.get("root_path", "") + "/v1/"):
                scope["path"] = text


async def _body(announced: bytes, most: int, receive: Receive) -> bytes:
    """The whole body; TooLarge, at once if its announced length is."""
    parts: list[bytes] = []
    length, more = 0, True
    too_large = announced.isdigit() and int(announced) > most
    while more and not too_large:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientLeft
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        more = message.get("more_body", False)
        too_large = length > most
    if too_large:
        raise TooLarge(f"a body may have {most} bytes; send less at once")
    return b"".join(parts)


async def _unpacked(body: bytes, encoding: bytes, most: int) -> bytes:
    """The body as it was before it was compressed; TooLarge, NotRead."""
    way = encoding.decode(errors="replace").strip().lower()
    if way in ("", "identity"):
        return body
    if way not in ("gzip", "x-gzip"):
        raise NotRead(f"Content-Encoding {way!r} is not read; send gzip, or no encoding")
    if len(body) > _QUICKLY_UNPACKED:
        return await to_thread.run_sync(_gunzipped, body, most)
    return _gunzipped(body, most)


def _gunzipped(body: bytes, most: int) -> bytes:
    """What gzip has compressed, of which no more than `most` bytes are ever in memory."""
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        plain = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise NotRead(f"the body is not the gzip that it is said to be: {error}") from None
    if len(plain) > most:
        raise TooLarge(f"a body may have {most} bytes when it is unpacked; send less at once")
    if not unpacker.eof or unpacker.unused_data:
        raise NotRead("the gzip of the body is cut off, or something follows it")
    return plain


class _Answer:
    """Sends the answer to one request: notes its status, and adds headers."""

    def __init__(self, send: Send, current: str, *, header_alone: bool) -> None:
        self._send = send
        self._id = current.encode()
        self._header_alone = header_alone
        self._complete = False
        self.status = 500
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self.status = message["status"]
            message["headers"] = self._completed(message["headers"])
        elif self._complete:
            return
        elif self._header_alone:  # a stream, too, ends here
            self._complete = True
            message = {"type": "http.response.body"}
        await self._send(message)

    def _completed(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Add the usual headers that the answer has not set itself, and the request's id."""
        own = [pair for pair in headers if pair[0] != _RAW_HEADER]
        names = {name for name, _ in own}
        usual = [pair for pair in RAW_HEADERS if pair[0] not in names]
        return [*own, *usual, (_RAW_HEADER, self._id)]


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that first gives the body that has been read."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
