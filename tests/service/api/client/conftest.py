import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from magnet_client import AsyncClient, Client, Retries
from service.auth.keys import SCOPES, ApiKey
from tests.waiting import PATIENCE_SECONDS

PATIENT = {
    "retries": Retries(base_seconds=0.01),
    "timeout_seconds": PATIENCE_SECONDS,
    "trust_env": False,
}


@pytest.fixture
def keys() -> dict[str, tuple[str, str]]:
    """Keys for everything, for reading and for feedback alone: line and secret of each."""
    made = {
        "everything": ApiKey.new("everything", SCOPES),
        "reader": ApiKey.new("reader", ["read"]),
        "shop": ApiKey.new("shop", ["feedback"]),
    }
    return {name: (key.line(), secret) for name, (key, secret) in made.items()}


@pytest.fixture
def url(redis_url, make_artifact, publish, serving, following, until, keys) -> Iterator[str]:
    """A service that asks for keys and follows Redis."""
    publish(redis_url, make_artifact("v1", 1))
    lines = "\n".join(line for line, _ in keys.values())
    with serving(following(keys=lines, max_k=50)) as service:
        until(service.ready)
        yield str(service.base_url)


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes clients of either kind: `connect(url)(method, ...)` calls and waits for the answer."""
    closing: list[Callable[[], object]] = []
    with start_blocking_portal() as portal:

        def make(url: str, **settings: Any) -> Callable[..., Any]:
            settings = PATIENT | settings
            if request.param == "sync":
                client = Client(url, **settings)
                closing.append(client.close)
                return lambda method, *args, **options: getattr(client, method)(*args, **options)
            asynchronous = AsyncClient(url, **settings)
            closing.append(lambda: portal.call(asynchronous.close))
            return lambda method, *args, **options: portal.call(
                partial(getattr(asynchronous, method), *args, **options)
            )

        yield make
        for close in closing:
            close()


@dataclass
class Script:
    """A server on this machine that answers as it is told, and notes when it was asked."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], bytes, float]] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)

    def then(
        self, status: int, body: object = None, seconds: float = 0.0, **headers: str
    ) -> "Script":
        """One more answer, after some time; the last one is repeated."""
        content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, named, content, seconds))
        return self


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place = min(len(script.asked), len(script.answers) - 1)
            script.asked.append(time.monotonic())
            status, headers, content, seconds = script.answers[place]
            time.sleep(seconds)
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):  # who asked may be gone
                self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        script.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield script
        server.shutdown()
        thread.join()
