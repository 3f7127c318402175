"""The command `serve`: this process becomes uvicorn with the service."""

import os
import shutil
import socket
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import click

from deploy import PROJECT, module_command
from service.http.connections import KEEP_ALIVE_SECONDS

METRICS = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder to prometheus_client."""

_PLACES = ("--host", "--port", "--uds", "--fd")
"""Options of uvicorn that say where to listen instead of ours."""


@click.command
@click.option("--host", default="127.0.0.1", show_default=True, help="the interface to listen at")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="processes that serve; with MAGNET_CACHE_DIR they share one copy of the model",
)
@click.option(
    "--graceful-timeout",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="SECONDS",
    help="longest wait for requests that are being answered when the service stops",
)
@click.argument(
    "uvicorn_options", nargs=-1, metavar="[-- OPTION...]", help="further options of uvicorn"
)
def serve(
    host: str, port: int, workers: int, graceful_timeout: int, uvicorn_options: tuple[str, ...]
) -> None:
    """Run the service; its settings are environment variables, see docs/configuration.md.

    It follows what is published to REDIS_URL, or serves the artifact in MAGNET_ARTIFACT_DIR.
    """
    if not any(each.split("=")[0] in _PLACES for each in uvicorn_options):
        _check_free(host, port)
    if workers > 1:  # each of which would say the same; a single one says it itself
        import_module("service.app").app_listening_at(host)
        os.environ.setdefault(METRICS, _metrics_folder())
    command = module_command("uvicorn", "--factory", "service.app:create_app")
    command += ["--app-dir", str(PROJECT)]
    command += ["--http", "service.http.connections:Connection"]
    command += ["--host", host, "--port", str(port), "--workers", str(workers)]
    command += ["--timeout-keep-alive", str(KEEP_ALIVE_SECONDS)]
    command += ["--timeout-graceful-shutdown", str(graceful_timeout), *uvicorn_options]
    os.execv(sys.executable, command)


def _metrics_folder() -> str:
    """A folder in which the workers share their metrics; those of services that ended go."""
    prefix = "magnet-metrics-"
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        number = folder.name.removeprefix(prefix).partition("-")[0]
        with suppress(PermissionError, ValueError):
            try:
                os.kill(int(number), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-")  # which uvicorn's will be


def _check_free(host: str, port: int) -> None:
    """Say in one line, before the service is loaded, that it could not listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        raise click.ClickException(
            f"cannot listen at {host}, port {port} ({error.strerror}); name what is free: "
            "--host, --port"
        ) from error
