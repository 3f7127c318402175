"""Part `workers`: what more processes of one service answer, and what they take."""

import os
import statistics
import sys

from deploy.benchmarks.parts import Outcome, scaled
from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.load import load
from deploy.benchmarks.serving.rig import PATH, Replica, processor_seconds, proportional_mb, rig

WORKERS = (1, 2, 4)
_ITEMS, _USERS, SEED = 7_000, 1_000, 0
_CONNECTIONS = 32
_ROUNDS = 7
_SECONDS = 3
_ASKS = {"first": "0", "repeated": str(64 * 2**20)}
"""`MAGNET_KEPT_ANSWERS_BYTES`."""
_PROTOCOL = f"""### Workers

`make bench BENCH=workers`: explained top 20 over {_ITEMS:,} items (grown model, seed {SEED}) of
services with so many workers and `MAGNET_CACHE_DIR`, {_CONNECTIONS} connections, on a machine with
{{cpus}} CPUs, which Redis and the load generator use too. The median of {_ROUNDS} rounds of
{_SECONDS} s in which the services take turns. *First asks* are of services that keep no answers.
A connection stays with the worker that accepts it, and sometimes one accepts most of them while the
other rests: hence the best round. Processor time is that of all workers together, and tells what a
machine with more CPUs answers: a second of each CPU, divided by it."""


def measure() -> Outcome:
    """Ask services of different numbers of workers in turn."""
    figures: dict[str, float] = {}
    rows = []
    with rig() as held:
        held.publish(held.save(grown_artifact(scaled(_ITEMS, 500), _USERS, SEED)))
        for asks, kept in _ASKS.items():
            settings = {
                "MAGNET_CACHE_DIR": str(held.folder / "cache"),
                "MAGNET_KEPT_ANSWERS_BYTES": kept,
            }
            replicas = {number: held.start(settings, workers=number) for number in WORKERS}
            found: dict[int, list[tuple[float, float, float]]] = {n: [] for n in WORKERS}
            for place in range(-1, _ROUNDS):
                sys.stderr.write(f"  {asks} asks, round {place + 1} of {_ROUNDS} ...\n")
                for number, replica in replicas.items():
                    measured = _asked(replica)
                    if place >= 0:
                        found[number].append(measured)
            for number, replica in replicas.items():
                rates, costs, times = zip(*found[number], strict=True)
                name = f"workers_{number}_{asks}"
                figures[f"{name}_per_s"] = round(statistics.median(rates), 1)
                figures[f"{name}_processor_ms"] = round(statistics.median(costs), 3)
                rows.append(
                    {
                        "asks": asks,
                        "workers": f"{number}",
                        "answers a second": f"{statistics.median(rates):,.0f}",
                        "in the best round": f"{max(rates):,.0f}",
                        "processor, ms an answer": f"{statistics.median(costs):.2f}",
                        "p99, ms": f"{statistics.median(times):.0f}",
                        "memory, MB": f"{proportional_mb(replica.child.pid):.0f}",
                    }
                )
                held.stop(replica)
    return Outcome.of(figures, _PROTOCOL.format(cpus=len(os.sched_getaffinity(0))), rows)


def _asked(replica: Replica) -> tuple[float, float, float]:
    """Answers a second, processor milliseconds of all workers for one, and the 99th percentile."""
    before = processor_seconds(replica.child.pid)
    measured = load(
        replica.url, PATH, users=_USERS, connections=_CONNECTIONS, seconds=scaled(_SECONDS, 1)
    )
    if measured.errors:
        raise ValueError(f"{measured.errors} requests failed")
    taken = processor_seconds(replica.child.pid) - before
    return measured.per_second, 1e3 * taken / measured.requests, measured.p99_ms
