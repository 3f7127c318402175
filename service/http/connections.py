"""Connections of uvicorn with the bounds that it has no options for.

Used by `uvicorn --http service.http.connections:Connection`, as `magnet serve` does.
"""

import asyncio
import json
import resource
import sys
from http import HTTPStatus
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

KEEP_ALIVE_SECONDS = 75
"""Longest idle time of a connection: longer than load balancers and clients keep theirs, mostly 5
to 60 s, or they send requests on one that is just being closed."""
HEADER_SECONDS = 10.0
"""Longest time for the header of a request, from the connection or the header's first byte on."""
MAX_HEADER_BYTES = 64 * 1024
MAX_CONNECTIONS = 4096
"""Fewer where the system allows fewer files."""
_OTHER_FILES = 128
"""Open files that are no connections of callers: Redis, the model, the log."""


def max_connections() -> int:
    """How many connections may be open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, soft - _OTHER_FILES))


class Connection(HttpToolsProtocol):
    """One connection: it is ended if the header of its request takes too long or is too long."""

    _waiting: asyncio.TimerHandle | None = None
    """Ends the connection unless the header is complete by then."""
    _header_bytes = 0
    """Read of a header that is not complete."""
    _latest = b""
    """What was read last, or is to be read once more."""
    _unanswered: tuple[RequestResponseCycle, ...] = ()
    """Requests that have begun, several where a caller does not wait for answers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; if there are too many, an idle one goes, or this one."""
        super().connection_made(transport)
        if len(self.connections) > max_connections() and not self._idle_one_is_closed():
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are open; try again")
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Read on; what belongs to no complete header counts."""
        if self._waiting is None and self._is_idle:
            self._wait()
        before, self._latest = None, data
        while self._latest is not before:
            before = self._latest
            super().data_received(before)
        self._header_bytes = 0 if self._waiting is None else self._header_bytes + len(data)
        if self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._refuse(status, f"a header may have {MAX_HEADER_BYTES} bytes")

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # it says too little
        """Refuse what the parser does not take."""
        detail = "this is no HTTP request; percent-encode what is not ASCII in its address"
        self._refuse(HTTPStatus.BAD_REQUEST, detail)

    def _should_upgrade(self) -> bool:
        """Have `handle_websocket_upgrade` called for any other protocol that a client offers."""
        return bool(self.parser.get_method() != b"CONNECT")

    def handle_websocket_upgrade(self) -> None:
        """Have it read as if no other protocol had been offered (RFC 9110, section 7.8).

        The parser ends at such a header, and takes the body for that protocol. Java's HttpClient
        offers HTTP/2 with every first request to an http address.
        """
        ended = sys.exc_info()[1]
        assert isinstance(ended, HttpParserUpgrade)
        rest = self._latest[ended.args[0] :]
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % pair for pair in self.headers if pair[0] != b"upgrade"]
        self.parser = HttpRequestParser(self)
        self._latest = b"\r\n".join([*lines, b"", rest])

    def on_headers_complete(self) -> None:
        """The request has begun; what comes next has its own deadline."""
        self._stop_waiting()
        super().on_headers_complete()
        if self.cycle is not None:
            before = (each for each in self._unanswered if not each.response_complete)
            self._unanswered = (*before, self.cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more, and answer nothing: uvicorn tells the latest request only."""
        self._stop_waiting()
        for each in self._unanswered:
            if not each.response_complete:
                each.disconnected = True
                each.message_event.set()
        self._unanswered = ()
        super().connection_lost(exc)

    def _idle_one_is_closed(self) -> bool:
        """Close a connection that was answered and waits for a next request, if there is one."""
        for each in self.connections:
            if isinstance(each, Connection) and each.is_kept_alive:
                each.transport.close()
                return True
        return False

    @property
    def is_kept_alive(self) -> bool:
        """A request was answered, and nothing of a next one has come."""
        asked = self.cycle is not None and self._waiting is None
        return asked and self._is_idle and not self.transport.is_closing()

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEADER_SECONDS, self._too_late)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _too_late(self) -> None:
        if not self.transport.is_closing():
            detail = f"the header of a request has to come within {HEADER_SECONDS:g} s"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, detail)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer with a problem document, and close the connection."""
        self._stop_waiting()
        problem: dict[str, Any] = {
            "type": "about:blank",
            "title": status.phrase,
            "status": status,
            "detail": detail,
        }
        body = json.dumps(problem).encode()
        head = (
            f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n"
        )
        head += "\r\n" if status is HTTPStatus.BAD_REQUEST else "retry-after: 1\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()
