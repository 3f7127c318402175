"""Bounds on every request: bytes of its body, and time until its answer.

Pure ASGI. Knows nothing about what a route does.
"""

import asyncio

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import RequestRefused, TooLarge, TooLate
from service.problems import problem_answer


class BodyLimit:
    """Reads the body before the application does, as far as it may be long.

    Not the framework's own `max_body_size`, which answers an announced length in plain text.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; a request without a body passes through."""
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        if "content-length" not in headers and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        announced = headers.get("content-length", "0")
        too_large = announced.isdecimal() and int(announced) > self._max_bytes
        body, more = bytearray(), not too_large
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._max_bytes:
                too_large, more = True, False
        if too_large:
            error = TooLarge(f"a body may have {self._max_bytes} bytes; send less at once")
            await _refuse(error, scope, receive, send)
            return
        await self._app(scope, _replayed(bytes(body), receive), send)


class Deadline:
    """Gives up on a request whose answer takes too long."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(self._seconds) as limit:
                await self._app(scope, receive, send_noting)
        except TimeoutError:
            if begun or not limit.expired():
                raise
            error = TooLate(f"given up after {self._seconds:g} s; try again, or ask for less")
            await _refuse(error, scope, receive, send)


async def _refuse(error: RequestRefused, scope: Scope, receive: Receive, send: Send) -> None:
    await problem_answer(Request(scope), error)(scope, receive, send)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands a body out again, then goes on."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
