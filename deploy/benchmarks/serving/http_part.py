"""Part `http`: explained lists of one worker, beside plain lists of other servers.

Two CPUs: one for the server that is asked, one for everything else. The service is asked in three
ways, each by a process of its own: for lists that are made, for lists that have been made, and as
many people do: by Zipf's law, with clicks in between.
"""

import statistics
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.request import urlopen

from deploy.benchmarks.parts import Outcome, scale, scaled
from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.load import Load, load
from deploy.benchmarks.serving.peers import ITEMS, USERS, start_peer
from deploy.benchmarks.serving.rig import PATH, Rig, processor_seconds, rig
from deploy.local.processes import Child, wait_until
from deploy.local.servers import HOST, free_port, get_json
from service.ops.settings import Settings

CONNECTIONS = (1, 16, 64)
KEPT_BYTES: int = Settings.model_fields["kept_answers_bytes"].default
_ROUNDS = 5
_SECONDS = 3
_PEERS = {
    "empty": ("an empty FastAPI route", "/recommend/{}"),
    "als": ("implicit, ALS of 64 factors, in an `async def` route", "/recommend/{}"),
    "als_threads": ("the same in a `def` route", "/recommend/{}"),
    "cornac": ("cornac.serving, MF of 64 factors", "/recommend?uid={}&k=20"),
}
_START_SECONDS = 120.0
_WARM_SECONDS = 30
"""Until the cache holds the answers of the users who ask most."""
_CLICKS_EVERY = 20
_MOST_USERS = 100_000
SEED = 0


_PROTOCOL = f"""### HTTP

`make bench BENCH=http`: requests per second of top 20 over {ITEMS:,} items (grown model, seed
{SEED}; {USERS:,} users in turn), the median of rounds in which all servers take turns. The server
asked has one CPU; the load generator, a process of its own, and Redis have the other. MAGNET reads
Redis in every request and answers with contributions; the others answer plain lists. *First asks*
are of a service that keeps no answers (`MAGNET_KEPT_ANSWERS_BYTES=0`), *repeated asks* of one that
has answered these users before. *Zipf* is users drawn by Zipf's law out of many, with a click
reported after every {_CLICKS_EVERY} lists (only lists are counted), by a service with the default
settings that has been asked so for {_WARM_SECONDS} s. Implicit stands in two routes: one that lets
nobody else be answered while it computes, which is the faster and the one that
`http_over_implicit` is about, and one as FastAPI's documentation has it for work that takes
time."""

_LIMITS = """The aims are, over implicit's route, 0.8 for first asks and 1.2 for Zipf; 1.6 over
Cornac; 0.5 of the empty route for repeated asks; and a p99 of at most 2.5 times the p50. What
limits the rates is processor time. Of a first ask at 16 connections two thirds are the worker
thread's (by the system's count per thread): it bounds all items for each user, routes some two
hundred of them, takes twenty apart and names the items of the history that speak for each, which
together is more than implicit's whole request. A repeated ask is what is left: of the event loop's
time a fifth is sending to Redis, though round trips are shared, a seventh is sending the answer, a
quarter is uvloop, a twelfth the framework's middleware; building the request, comparing what an
answer stands on and counting are a tenth (sampled with py-spy). Of lists by Zipf's law a third of
the time is what the two kinds cost each other: kept answers are gone at once, so fewer requests
share a trip to Redis, and a batch has 4 lists instead of 16 (seven of ten kept, in one process,
beside rounds of either kind alone). A machine that is busy otherwise
lowers all rates, MAGNET's more than others', as its items no longer stay in the processor's last
cache, and stretches the p99: compare within a column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    label: str
    url: str
    path: str
    pid: int
    asking: Mapping[str, Any] = field(default_factory=lambda: {"users": USERS})
    """Further options of the load."""


def measure() -> Outcome:
    """Compare the rate and the processor time of the service with its peers'."""
    with rig() as held:
        servers = _started(held)
        for name in ("again", "zipf"):
            _round(servers[name], 16, seconds=scaled(_WARM_SECONDS, 1))
        before = _kept(servers["zipf"])
        took: dict[tuple[str, int], list[tuple[Load, float]]] = {}
        for connections in CONNECTIONS:
            for number in range(1, scaled(_ROUNDS, 1) + 1):
                for name, server in servers.items():
                    done = _round(server, connections, seed=connections * 100 + number)
                    took.setdefault((name, connections), []).append(done)
        asked = {result: n - before[result] for result, n in _kept(servers["zipf"]).items()}
        rate = {
            asked: statistics.median(done.per_second for done, _ in rounds)
            for asked, rounds in took.items()
        }
        peak = rate["magnet", 16]
        half = load(servers["magnet"].url, PATH, seconds=4 * _SECONDS, users=USERS, rate=peak / 2)
    figures = {
        "http_over_implicit": round(peak / rate["als", 16], 3),
        "http_over_cornac": round(peak / rate["cornac", 16], 3),
        "http_again_over_empty": round(rate["again", 16] / rate["empty", 16], 3),
        "http_zipf_over_implicit": round(rate["zipf", 16] / rate["als", 16], 3),
        "http_zipf_hit_rate": round(asked["hit"] / sum(asked.values()), 3),
        "p99_over_p50": round(half.p99_ms / half.p50_ms, 2),
    }
    rows = [
        {
            "one worker": server.label,
            **{f"{n} connections": f"{rate[name, n]:,.0f}" for n in CONNECTIONS},
            "processor ms/request at 16": (
                f"{statistics.median(cpu for _, cpu in took[name, 16]) * 1e3:.3f}"
            ),
        }
        for name, server in servers.items()
    ]
    at_half = (
        f"At half of its peak ({peak / 2:,.0f} requests per second, open loop, 16 connections): "
        f"p50 {half.p50_ms:.1f} ms, p99 {half.p99_ms:.1f} ms. Of the lists by Zipf's law over "
        f"{_zipf_users():,} users {figures['http_zipf_hit_rate']:.0%} were kept ones."
    )
    protocol = f"{_PROTOCOL} Made at `BENCH_SCALE={scale():g}`."
    return Outcome.of(figures, protocol, rows, f"{at_half}\n\n{_LIMITS}")


def _started(held: Rig) -> dict[str, _Server]:
    """The service and its peers on one CPU; Redis and this process on the other."""
    sys.stderr.write("  starting the servers ...\n")
    held.publish(held.save(grown_artifact(ITEMS, _zipf_users(), SEED)))
    cpu = held.pin()
    zipf = {"users": _zipf_users(), "zipf": True, "clicks_every": _CLICKS_EVERY}
    servers = {
        "magnet": _ours(held, cpu, "first asks", kept_bytes=0),
        "again": _ours(held, cpu, "repeated asks", kept_bytes=KEPT_BYTES),
        "zipf": replace(_ours(held, cpu, "Zipf, with clicks", kept_bytes=KEPT_BYTES), asking=zipf),
    }
    for name, (label, path) in _PEERS.items():
        port = free_port()
        url = f"http://{HOST}:{port}"
        child = held.stack.enter_context(start_peer(name, port, held.folder, [cpu]))
        _wait(child, url + path.format(1))
        servers[name] = _Server(label=label, url=url, path=path, pid=child.pid)
    return servers


def _ours(held: Rig, cpu: int, how: str, *, kept_bytes: int) -> _Server:
    settings = {"MAGNET_KEPT_ANSWERS_BYTES": str(kept_bytes)}
    replica = held.start(settings, cpus=[cpu])
    label = f"MAGNET, explained, {how}"
    return _Server(label=label, url=replica.url, path=PATH, pid=replica.child.pid)


def _zipf_users() -> int:
    return scaled(_MOST_USERS, USERS)


def _kept(server: _Server) -> dict[str, float]:
    """Answers from the cache: how many hits, misses and changes there were."""
    with urlopen(f"{server.url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    name = "magnet_kept_answers_total{result="
    found = (line.removeprefix(name).split() for line in lines if line.startswith(name))
    return {result.strip('"}'): float(number) for result, number in found}


def _wait(child: Child, url: str) -> None:
    def answers() -> bool:
        with suppress(OSError):
            get_json(url)
            return True
        return False

    wait_until(answers, lambda: f"{child.name} does not answer", [child], _START_SECONDS, 0.1)


def _round(
    server: _Server, connections: int, *, seconds: float = _SECONDS, seed: int = 0
) -> tuple[Load, float]:
    """The load, and the server's processor seconds per list."""
    before = processor_seconds(server.pid)
    done = load(
        server.url,
        server.path,
        seconds=seconds,
        connections=connections,
        seed=seed,
        **server.asking,
    )
    if done.errors:
        raise ValueError(f"{server.label} answered {done.statuses}, {done.broken} broken")
    return done, (processor_seconds(server.pid) - before) / done.requests
