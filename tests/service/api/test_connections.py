"""Bounds on connections and bodies, over raw sockets and in bytes that no client library sends."""

import gzip
import json
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from model.artifact.files import write_artifact
from service.http import connections
from service.ops.settings import Settings
from tests.waiting import PATIENCE_SECONDS

ASKED = json.dumps({"user_id": "u001", "k": 3}).encode()
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/recommendations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def client(serving, until, artifact, tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifact")
    write_artifact(folder, artifact)
    settings = Settings(artifact_dir=folder, max_body_bytes=4096, cors_origins="https://shop.test")
    with serving(settings) as client:
        until(client.ready)
        yield client


@contextmanager
def line(client) -> Iterator[socket.socket]:
    address = (client.base_url.host, client.base_url.port)
    with socket.create_connection(address, timeout=PATIENCE_SECONDS) as found:
        yield found


def told(found: socket.socket) -> bytes:
    """All until the service closes the connection."""
    said = b""
    while more := found.recv(65536):
        said += more
    return said


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /live", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: "],
    ids=["nothing", "a line", "a header"],
)
@pytest.mark.parametrize("second", [False, True])
def test_a_header_that_trickles_is_ended(client, monkeypatch, sent: bytes, second: bool) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 1.0)
    started = time.monotonic()
    with line(client) as slow:
        if second:
            slow.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            first = b""
            while not first.endswith(b'{"status":"alive"}'):
                first += slow.recv(65536) or pytest.fail(f"it was closed after {first!r}")
        slow.sendall(sent)
        slow.settimeout(0.1)
        said = b""
        while time.monotonic() - started < PATIENCE_SECONDS:
            try:
                said = slow.recv(65536)
                break
            except TimeoutError:
                if sent:
                    slow.sendall(b"x")
        if second and not sent:
            assert said == b"", "by uvicorn, which keeps an idle connection alive for 5 s"
        else:
            assert said.startswith(b"HTTP/1.1 408 "), said
        assert time.monotonic() - started >= 0.9


def test_a_header_without_end_is_refused(client) -> None:
    with line(client) as endless:
        endless.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            endless.sendall(b"x" * 100_000_000)
    with line(client) as long:
        long.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 65_600)
        assert told(long).startswith(b"HTTP/1.1 431 ")


def test_there_are_so_many_connections(client, monkeypatch) -> None:
    with ExitStack() as stack:
        asked = [stack.enter_context(line(client)) for _ in range(3)]
        for each in asked:
            each.sendall(GET + b"X-Not-Yet: ")
        monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
        stack.enter_context(line(client))  # for the client's own, if that is still there
        assert told(stack.enter_context(line(client))).startswith(b"HTTP/1.1 503 ")
        for each in asked:
            each.sendall(b"ended\r\nConnection: close\r\n\r\n")
            assert told(each).startswith(b"HTTP/1.1 200 ")


def test_idle_connections_make_room(client, monkeypatch) -> None:
    with line(client) as idle, line(client) as busy:
        idle.sendall(GET + b"\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 ")
        busy.sendall(GET)
        monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
        with line(client) as new:
            new.sendall(GET + b"Connection: close\r\n\r\n")
            assert told(new).startswith(b"HTTP/1.1 200 ")
        told(idle)  # which ends
        busy.sendall(b"Connection: close\r\n\r\n")
        assert told(busy).startswith(b"HTTP/1.1 200 ")


def test_a_request_in_pieces_is_answered(client) -> None:
    with line(client) as pieces:
        whole = POST + f"Content-Length: {len(ASKED)}\r\n\r\n".encode() + ASKED
        for place in range(0, len(whole), 7):
            pieces.sendall(whole[place : place + 7])
        assert pieces.recv(65536).startswith(b"HTTP/1.1 200")


UPGRADES = [
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQBAAAA\r\n",
    b"Upgrade: TLS/1.0\r\nConnection: upgrade\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
]


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("piece", [10_000, 7])
def test_who_offers_another_protocol_is_answered_in_this_one(client, upgrade, piece) -> None:
    """As Java's HttpClient does: the body counts, and the connection goes on (uvicorn 1501)."""
    plain = b"Content-Length: %d\r\n\r\n" % len(ASKED) + ASKED
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(ASKED), ASKED)
    get = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
    requests = [
        POST + upgrade + plain,
        get + upgrade + b"\r\n",
        POST + upgrade + chunked,
        get + b"\r\n",
        get + upgrade + b"Connection: close\r\n\r\n",
    ]
    with line(client) as one:
        whole = b"".join(requests)  # nobody waits for answers
        for place in range(0, len(whole), piece):
            one.sendall(whole[place : place + piece])
        said = told(one)
    assert said.count(b"HTTP/1.1 200 OK") == said.count(b"HTTP/1.1 ") == len(requests), said
    assert said.count(b'"items":[{') == 2
    assert said.count(b"alive") == 3


def test_many_offers_at_once(client) -> None:
    get = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
    with line(client) as one:
        one.sendall((get + UPGRADES[1] + b"\r\n") * 600 + get + b"Connection: close\r\n\r\n")
        assert told(one).count(b"HTTP/1.1 200 OK") == 601


@pytest.mark.parametrize("rest", [b"\x00\x01nonsense\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_what_speaks_another_protocol_at_once_is_refused(client, rest: bytes) -> None:
    with line(client) as one:
        one.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + UPGRADES[0] + b"\r\n" + rest)
        assert b"HTTP/1.1 400 " in told(one)
    with line(client) as one:
        one.sendall(b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert one.recv(65536).startswith(b"HTTP/1.1 4")
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: a\r\n Content-Length: 5\r\n",
        b"Content-Length: 5\nX: y\r\n",
    ],
)
def test_two_readings_of_one_request_are_refused(client, headers: bytes) -> None:
    """A proxy in front may read it the other way, and take the rest for the next request."""
    with line(client) as smuggler:
        smuggler.sendall(POST + headers + b"\r\n0\r\n\r\nGET /v1/model HTTP/1.1\r\nHost: x\r\n\r\n")
        said = told(smuggler)
    assert said.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 422 ", b"HTTP/1.1 501 ")), said
    assert said.count(b"HTTP/1.1 ") == 1, said


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"Host: localhost", b"Host: evil.example"),
        (b"Content-Type: application/json", b"content-type: text/plain"),
        (b"Authorization: Bearer one", b"Authorization: Bearer two"),
        (b"Content-Encoding: identity", b"Content-Encoding: gzip"),
        (b"Origin: https://shop.test", b"Origin: https://evil.example"),
    ],
)
def test_a_header_of_one_value_is_there_once(client, first: bytes, second: bytes) -> None:
    """Of two keys or two hosts nobody can know which is meant."""
    given = POST + b"Content-Length: %d\r\nConnection: close\r\n" % len(ASKED)
    for pair in ((first, second), (second, first), (first, first)):
        missing = [each for each in pair if each.split(b":")[0] + b":" not in given] or pair[1:]
        with line(client) as one:
            one.sendall(given + b"\r\n".join(missing) + b"\r\n\r\n" + ASKED)
            said = told(one)
        assert said.startswith(b"HTTP/1.1 400 "), said
        assert b"is there 2 times; send it once" in said
    with line(client) as one:  # others may be repeated
        one.sendall(given + b"Accept: a\r\nAccept: b\r\n\r\n" + ASKED)
        assert told(one).startswith(b"HTTP/1.1 200 ")


def post(client, body: bytes, encoding: str):
    headers = {"content-type": "application/json", "content-encoding": encoding}
    return client.post("/v1/recommendations", content=body, headers=headers)


def test_a_body_may_be_compressed(client) -> None:
    assert len(post(client, gzip.compress(ASKED), "gzip").json()["items"]) == 3
    assert len(post(client, ASKED, "identity").json()["items"]) == 3


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(ASKED.ljust(4096)), "gzip", 200),
        (gzip.compress(ASKED.ljust(4097)), "gzip", 413),
        (gzip.compress(b" " * 3_000_000), "gzip", 413),
        (gzip.compress(ASKED)[:-1], "gzip", 415),
        (gzip.compress(ASKED) + b"more", "gzip", 415),
        (ASKED, "gzip", 415),
        (zlib.compress(ASKED), "deflate", 415),
        (ASKED, "br", 415),
        (gzip.compress(gzip.compress(ASKED)), "gzip, gzip", 415),
    ],
    ids=[
        "whole",
        "long",
        "bomb",
        "cut",
        "tail",
        "plain",
        "deflate",
        "br",
        "twice",
    ],  # gzip tells the time
)
def test_compression_is_bounded(client, body: bytes, encoding: str, status: int) -> None:
    answer = post(client, body, encoding)
    assert answer.status_code == status
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"


def test_probes_answer_head(client) -> None:
    for path in ("/livez", "/readyz"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


def test_nothing_is_redirected(client) -> None:
    for path in ("/v1/model/", "/livez/", "/docs/"):
        answer = client.get(path, headers={"x-forwarded-proto": "https"})
        assert answer.status_code == 404
        assert "location" not in answer.headers


def test_pages_of_other_origins_may_ask_if_they_are_named(client) -> None:
    asked = {"origin": "https://shop.test", "access-control-request-method": "POST"}
    wanted = {"access-control-request-headers": "authorization, content-type"}
    allowed = client.options("/v1/recommendations", headers=asked | wanted)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://shop.test"
    answer = client.get("/livez", headers={"origin": "https://shop.test"})
    assert answer.headers["access-control-allow-origin"] == "https://shop.test"
    other = client.get("/livez", headers={"origin": "https://other.test"})
    assert "access-control-allow-origin" not in other.headers


def test_without_the_setting_no_other_origin_may(disk_client) -> None:
    answer = disk_client.get("/livez", headers={"origin": "https://shop.test"})
    assert "access-control-allow-origin" not in answer.headers


def test_a_reader_who_leaves_while_requests_wait_is_no_failure(client, caplog, until) -> None:
    def answered() -> int:
        lines = client.get("/metrics").text.splitlines()
        return sum(
            int(float(line.rsplit(" ")[-1]))
            for line in lines
            if line.startswith("magnet_requests_total") and 'route="other"' in line
        )

    before = answered()
    large = b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with line(client) as leaving:
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        leaving.sendall(large * 3)
        leaving.recv(100)  # the first is being sent, the others wait
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: answered() > before)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
