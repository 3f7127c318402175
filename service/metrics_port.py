"""Metrics at a port of their own, for a Prometheus that has no key.

Knows a registry and an address; knows nothing about routes. Whoever can reach the port can read it:
the network has to guard it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from prometheus_client import CollectorRegistry, start_http_server


@asynccontextmanager
async def metrics_port(
    host: str, port: int | None, registry: CollectorRegistry
) -> AsyncIterator[None]:
    """Answer with what the registry holds, in threads of its own; without a port do nothing.

    Raises:
        OSError: the port cannot be listened at, as by the second worker of one machine.
    """
    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise OSError(
            f"MAGNET_METRICS_PORT: {host}:{port} cannot be used ({error.strerror}); every process "
            "needs a port of its own, so with several workers take away that setting"
        ) from error
    try:
        yield
    finally:
        await to_thread.run_sync(server.shutdown)
        server.server_close()
        thread.join()
