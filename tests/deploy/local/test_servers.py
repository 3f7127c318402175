"""The embedded server is a real one, on this machine only, and keeps what it was given."""

import os
import signal
from pathlib import Path

import pytest
import redis

from deploy.local.processes import ChildDied
from deploy.local.servers import embedded_server


def test_data_survive_a_restart_and_even_a_kill(tmp_path: Path) -> None:
    found = []
    for value in (b"first", b"second", b"third"):
        with (
            embedded_server(tmp_path / "data", tmp_path / "log") as server,
            redis.Redis.from_url(server.url) as client,
        ):
            found.append(client.get("key"))
            client.set("key", value)
            if value == b"second":
                os.kill(server.child.pid, signal.SIGKILL)
    assert found == [None, b"first", b"second"]


def test_it_listens_on_this_machine_only_and_never_evicts(tmp_path: Path) -> None:
    with (
        embedded_server(tmp_path / "data", tmp_path / "log") as server,
        redis.Redis.from_url(server.url) as client,
    ):
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_it_is_gone_afterwards(tmp_path: Path) -> None:
    with embedded_server(tmp_path / "data", tmp_path / "log") as server:
        server.child.check()
    with pytest.raises(ChildDied):
        server.child.check()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    damaged = tmp_path / "data" / "appendonlydir"
    damaged.mkdir(parents=True)
    (damaged / "appendonly.aof.manifest").write_text("nonsense\n")
    with (
        pytest.raises(ChildDied, match=r"(?s)embedded Valkey server ended .*manifest"),
        embedded_server(tmp_path / "data", tmp_path / "log"),
    ):
        pass
