"""The load generator against a server whose answers are known."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.benchmarks.serving.load import load, loading
from tests.waiting import until


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: list[str]
    moments: list[float]
    clicks: list[dict[str, str]]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.moments.append(time.monotonic())
        user = int(self.path.removeprefix("/u"))
        torn, rounded = len(self.asked), 0.5 + 1e-7 * (len(self.asked) % 2)
        answer = {
            "user_id": str(user),
            "model_version": "v1",
            "warnings": ["away"] if user == 3 else [],
            "items": [{"item_id": "a", "score": torn if user == 2 else rounded}],
        }
        body = json.dumps(answer).encode()
        self.send_response(503 if user == 1 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.clicks += json.loads(body)["events"]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Handler.asked, Handler.moments, Handler.clicks = [], [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_is_counted(url: str) -> None:
    done = load(url, "/u{}", seconds=1, users=4, connections=1, rate=100, compare=True)
    assert 0 < done.requests <= 110
    assert done.requests == len(Handler.asked)
    quarter = pytest.approx(done.requests / 4, abs=1)
    assert done.server_errors == done.errors == done.statuses["503"] == quarter
    assert done.degraded == quarter
    assert done.torn == pytest.approx(done.requests / 4 - 1, abs=1)
    assert 0 < done.p50_ms <= done.p99_ms
    assert done.broken == 0


def test_a_server_that_is_away_is_a_broken_connection(url: str) -> None:
    port = int(url.rpartition(":")[2])
    done = load(f"http://127.0.0.1:{port + 1}", "/u{}", seconds=0.5, connections=2)
    assert done.requests == 0
    assert done.errors == done.broken > 0


def test_a_load_beside_something_ends_with_it(url: str) -> None:
    with loading(url, "/u{}", users=1, connections=2, rate=50) as end:
        until(lambda: Handler.asked)
        done = end()
    assert done.requests == len(Handler.asked) > 0
    assert done.errors == 0
    assert done.seconds > 0


def test_a_generator_that_fails_says_so() -> None:
    with pytest.raises(OSError, match="load generator failed"):
        load("http://127.0.0.1:1", "/u{}", seconds=0.1, connections="many")  # type: ignore[arg-type]


def test_connections_of_an_open_loop_do_not_ask_all_at_once(url: str) -> None:
    load(url, "/u{}", seconds=4, users=1, connections=4, rate=1.2)
    assert Handler.moments[-1] - Handler.moments[0] > 0.3, "2.5 s, or late ones at once"


def test_some_users_ask_more_often_than_others_and_click(url: str) -> None:
    done = load(url, "/u{}0", seconds=1, users=1000, zipf=True, clicks_every=5, connections=2)
    assert done.errors == 0
    assert len(Handler.clicks) == done.clicks == pytest.approx(done.requests / 5, abs=2)
    assert {int(click["user_id"]) for click in Handler.clicks} <= {
        int(path.removeprefix("/u")) for path in Handler.asked
    }
    assert len({click["event_id"] for click in Handler.clicks}) == done.clicks
    first, tenth = (Handler.asked.count(f"/u{user}0") for user in (0, 9))
    assert first > 2 * tenth
    assert len({*Handler.asked}) > 20
