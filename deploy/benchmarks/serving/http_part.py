"""Part `http`: explained lists of one worker, beside plain lists of other servers.

Two CPUs: one for the server that is asked, one for everything else.
"""

import os
import statistics
import sys
from contextlib import suppress
from dataclasses import dataclass

from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.load import Load, load
from deploy.benchmarks.serving.peers import ITEMS, USERS, start_peer
from deploy.benchmarks.serving.rig import (
    PATH,
    Outcome,
    Rig,
    cpu_pair,
    processor_seconds,
    rig,
    scale,
    scaled,
)
from deploy.local.processes import Child, wait_until
from deploy.local.servers import HOST, free_port, get_json

CONNECTIONS = (1, 16, 64)
_ROUNDS = 5
_SECONDS = 3
_PEERS = {
    "empty": ("an empty FastAPI route", "/recommend/{}"),
    "als": ("implicit, ALS of 64 factors, in an `async def` route", "/recommend/{}"),
    "als_threads": ("the same in a `def` route", "/recommend/{}"),
    "cornac": ("cornac.serving, MF of 64 factors", "/recommend?uid={}&k=20"),
}
_START_SECONDS = 120.0
SEED = 0


_PROTOCOL = f"""### HTTP

`make bench BENCH=http`: requests per second of top 20 over {ITEMS:,} items (grown model, seed
{SEED}; {USERS:,} users in turn), the median of rounds in which all servers take turns. The server
asked has one CPU; the load generator, a process of its own, and Redis have the other. MAGNET reads
Redis in every request and answers with contributions; the others answer plain lists. Implicit
stands in two routes: one that lets nobody else be answered while it computes, which is the faster
and the one that `http_over_implicit` is about, and one as FastAPI's documentation has it for work
that takes time."""

_LIMITS = """The aims are 1.0x implicit and 4x Cornac, and a p99 of at most 4 times the p50. What
limits the rates is processor time. Of MAGNET's at 16 connections two thirds are the worker
thread's (by the system's count per thread): it bounds all items for each user, routes some two
hundred of them, takes twenty apart and names the items of the history that speak for each, which
together is more than implicit's whole request. Of the event loop's part a quarter is uvicorn and
uvloop, an eighth the hand-over to the worker and back, a tenth JSON, less than that the shared
round trips to Redis; the rest is reading the request, its way through the layers and what is
counted (sampled with py-spy, before there were reasons). A machine that is busy otherwise
lowers all rates, MAGNET's more than others', as its items no longer stay in the processor's last
cache, and stretches the p99: compare within a column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    label: str
    url: str
    path: str
    pid: int


def measure() -> Outcome:
    """Compare the rate and the processor time of the service with its peers'."""
    with rig() as held:
        servers = _started(held)
        took: dict[tuple[str, int], list[tuple[Load, float]]] = {}
        for connections in CONNECTIONS:
            for _ in range(scaled(_ROUNDS, 1)):
                for name, server in servers.items():
                    took.setdefault((name, connections), []).append(_round(server, connections))
        rate = {
            asked: statistics.median(done.per_second for done, _ in rounds)
            for asked, rounds in took.items()
        }
        peak = rate["magnet", 16]
        half = load(servers["magnet"].url, PATH, seconds=4 * _SECONDS, users=USERS, rate=peak / 2)
    figures = {
        "http_over_implicit": round(peak / rate["als", 16], 3),
        "http_over_cornac": round(peak / rate["cornac", 16], 3),
        "p99_over_p50": round(half.p99_ms / half.p50_ms, 2),
    }
    rows = [
        {
            "one worker": server.label,
            **{f"{n} connections": f"{rate[name, n]:,.0f}" for n in CONNECTIONS},
            "processor ms/request at 16": (
                f"{statistics.median(cpu for _, cpu in took[name, 16]) * 1e3:.2f}"
            ),
        }
        for name, server in servers.items()
    ]
    at_half = (
        f"At half of its peak ({peak / 2:,.0f} requests per second, open loop, 16 connections): "
        f"p50 {half.p50_ms:.1f} ms, p99 {half.p99_ms:.1f} ms."
    )
    protocol = f"{_PROTOCOL} Made at `BENCH_SCALE={scale():g}`."
    return Outcome.of(figures, protocol, rows, f"{at_half}\n\n{_LIMITS}")


def _started(held: Rig) -> dict[str, _Server]:
    """The service and its peers on one CPU; Redis and this process on the other."""
    sys.stderr.write("  starting the servers ...\n")
    server_cpu, client_cpu = cpu_pair()
    os.sched_setaffinity(held.server.child.pid, {client_cpu})
    held.publish(held.save(grown_artifact(ITEMS, USERS, SEED)))
    ours = held.start(cpus=[server_cpu])
    servers = {
        "magnet": _Server(label="MAGNET, explained", url=ours.url, path=PATH, pid=ours.child.pid)
    }
    for name, (label, path) in _PEERS.items():
        port = free_port()
        url = f"http://{HOST}:{port}"
        child = held.stack.enter_context(start_peer(name, port, held.folder, [server_cpu]))
        _wait(child, url + path.format(1))
        servers[name] = _Server(label=label, url=url, path=path, pid=child.pid)
    os.sched_setaffinity(0, {client_cpu})
    return servers


def _wait(child: Child, url: str) -> None:
    def answers() -> bool:
        with suppress(OSError):
            get_json(url)
            return True
        return False

    wait_until(answers, lambda: f"{child.name} does not answer", [child], _START_SECONDS, 0.1)


def _round(server: _Server, connections: int) -> tuple[Load, float]:
    """The load, and the server's processor seconds per request."""
    before = processor_seconds(server.pid)
    done = load(server.url, server.path, seconds=_SECONDS, users=USERS, connections=connections)
    if done.errors:
        raise ValueError(f"{server.label} answered {done.statuses}, {done.broken} broken")
    return done, (processor_seconds(server.pid) - before) / done.requests
