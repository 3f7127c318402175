"""The service as a child process on a port of this machine.

Knows uvicorn's command line and the readiness path; knows nothing about what is served.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from urllib.error import HTTPError

from deploy.curls import get_json
from deploy.processes import Child, ChildDied
from deploy.workspace import PROJECT
from training.explained import ExplainedError

HOST = "127.0.0.1"
_GRACE_SECONDS = 5
_READY_SECONDS = 120.0


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
    command = [sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app"]
    command += ["--host", HOST, "--port", str(port)]
    command += ["--timeout-graceful-shutdown", str(_GRACE_SECONDS)]
    return Child(
        "the service", command, log=log, env=env, cwd=PROJECT, grace_seconds=2 * _GRACE_SECONDS
    )


def wait_until_ready(base_url: str, children: list[Child]) -> None:
    """Return once the service is ready.

    Raises:
        ChildDied: one of `children` ended, or the service does not become ready.
    """
    deadline = time.monotonic() + _READY_SECONDS
    trouble = "no answer"
    while time.monotonic() < deadline:
        for child in children:
            child.check()
        try:
            get_json(f"{base_url}/readyz")
        except HTTPError as error:
            with error, suppress(ValueError):
                trouble = json.load(error).get("detail", trouble)
        except OSError:
            pass
        else:
            return
        time.sleep(0.1)
    raise ChildDied(f"the service was not ready within {_READY_SECONDS:.0f} s: {trouble}")
