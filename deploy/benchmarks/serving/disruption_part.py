"""Parts `reload`, `soak` and `redis`: models are published, and Redis is killed, under load."""

import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from deploy.benchmarks.parts import Outcome, scaled
from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.load import Load, load, loading
from deploy.benchmarks.serving.rig import PATH, Replica, Rig, busy_processors, proportional_mb, rig
from deploy.local.processes import wait_until
from deploy.local.servers import get_json

_ITEMS, _USERS, _REPLICAS, _RELOADS = 200_000, 1_000, 4, 20
_RATE = 10.0
_BESIDE_SECONDS = 15.0
_SETTINGS = {"MAGNET_POLL_SECONDS": "0.5"}
_RELOAD_PROTOCOL = f"""### Publish and reload under load

`make bench BENCH=reload`: two grown models (seeds 0 and 1) are published in turn, each as soon as
every replica serves the one before; {_RATE:.0f} requests per second to each replica, open loop, all
on this machine, whose replicas share `MAGNET_CACHE_DIR`. Torn: an answer that differs from another
of the same user and model version. Beside busy processes: nothing is reloaded, and as many
processes as there are processors compute without pause.
Sizes are those of `BENCH_SCALE`; 1 is {_ITEMS:,} items and {_RELOADS} reloads."""
_RELOAD_LIMITS = """The aims are no error, nothing torn, and a p99 of at most 3 times that before.
What limits the p99 is that all share this machine's processors: every replica reads the new model,
indexes it and tries it on its sampled users while it answers, all of them at once, beside the
publisher and a load generator each."""

_SOAK_ITEMS, _SOAK_REQUESTS = 7_000, 500_000
_SOAK_PROTOCOL = f"""### Soak

`make bench BENCH=soak`: one replica, {_SOAK_ITEMS:,} items, 16 connections that ask without pause,
a reload after each share of the requests; two shares warm up. Memory is the process's, in use after
each reload. `BENCH_SCALE=1` is {_SOAK_REQUESTS:,} requests."""

_OUTAGE_ITEMS = 7_000
_KILLS = 10
_AWAY_SECONDS = 1.0
_BETWEEN_SECONDS = 2.0
_OUTAGE_RATE = 50.0
_PATIENCE_SECONDS = 60.0
_OUTAGE_PROTOCOL = f"""### Redis killed

`make bench BENCH=redis`: {_OUTAGE_ITEMS:,} items (grown model, seed 0), {_OUTAGE_RATE:.0f} requests
per second, no user kept in memory. The server is killed, stays away for {_AWAY_SECONDS:.0f} s and
is started again on its data. Recovery runs from its first answer to the service's first answer
without a warning."""


def measure_reload() -> Outcome:
    """Publish models under load: errors, torn answers and latency."""
    items, reloads = scaled(_ITEMS, 2_000), scaled(_RELOADS, 2)
    with rig() as held, ExitStack() as stack:
        models = [held.save(grown_artifact(items, _USERS, seed)) for seed in (0, 1)]
        held.publish(models[0])
        settings = _SETTINGS | {"MAGNET_CACHE_DIR": str(held.folder / "cache")}
        replicas = [held.start(settings) for _ in range(_REPLICAS)]
        before = _asked(replicas)
        with busy_processors():
            beside_others = _asked(replicas)
        running = [
            stack.enter_context(loading(x.url, PATH, users=_USERS, rate=_RATE, compare=True))
            for x in replicas
        ]
        for number in range(reloads):
            sys.stderr.write(f"  reload {number + 1} of {reloads} ...\n")
            held.publish(models[(number + 1) % 2])
        during = [end() for end in running]
    errors, torn = sum(x.errors for x in during), sum(x.torn for x in during)
    figures = {
        "reload_errors": float(errors),
        "reload_torn": float(torn),
        "reload_p99_over_before": round(_worst(during) / _worst(before), 2),
    }
    row = {
        "items": f"{items:,}",
        "replicas": f"{_REPLICAS}",
        "reloads": f"{reloads}",
        "answers": f"{sum(x.requests for x in during):,}",
        "errors": f"{errors}",
        "torn": f"{torn}",
        "p99 before, ms": f"{_worst(before):.0f}",
        "p99 beside busy processes, ms": f"{_worst(beside_others):.0f}",
        "p99 during, ms": f"{_worst(during):.0f}",
    }
    return Outcome.of(figures, _RELOAD_PROTOCOL, [row], _RELOAD_LIMITS)


def _asked(replicas: Sequence[Replica]) -> list[Load]:
    """The load of every replica, all asked at once."""
    with ExitStack() as stack:
        running = [
            stack.enter_context(loading(x.url, PATH, users=_USERS, rate=_RATE)) for x in replicas
        ]
        time.sleep(_BESIDE_SECONDS)
        return [end() for end in running]


def _worst(loads: list[Load]) -> float:
    return max(x.p99_ms for x in loads)


def measure_soak() -> Outcome:
    """Half a million requests and 20 reloads: growth of memory."""
    requests = scaled(_SOAK_REQUESTS, 2_000)
    share = requests // (_RELOADS + 2)
    answered = errors = 0
    memory = []
    with rig() as held:
        models = [held.save(grown_artifact(_SOAK_ITEMS, _USERS, seed)) for seed in (0, 1)]
        held.publish(models[0])
        replica = held.start(_SETTINGS)
        for number in range(-2, _RELOADS):
            sys.stderr.write(f"  reload {number + 1} of {_RELOADS} ...\n")
            done = 0
            while done < share:
                round_ = load(replica.url, PATH, seconds=2, users=_USERS)
                done, errors = done + round_.requests, errors + round_.errors
            answered += done
            held.publish(models[(number + 1) % 2])
            load(replica.url, PATH, seconds=1, users=_USERS)
            memory.append(proportional_mb(replica.child.pid))
    growth = memory[-1] / memory[1] - 1
    row = {
        "answers": f"{answered:,}",
        "reloads": f"{_RELOADS}",
        "errors": f"{errors}",
        "MB after warm-up": f"{memory[1]:.0f}",
        "MB at the end": f"{memory[-1]:.0f}",
        "growth": f"{growth:.1%}",
    }
    return Outcome.of({"soak_growth": round(growth, 4)}, _SOAK_PROTOCOL, [row])


def measure_outage() -> Outcome:
    """Kill Redis under load: errors, and time until answers are whole."""
    kills = scaled(_KILLS, 2)
    with rig() as held:
        held.publish(held.save(grown_artifact(_OUTAGE_ITEMS, _USERS, 0)))
        # No user is kept in memory, so that every request feels an outage.
        replica = held.start({"MAGNET_USER_CACHE_SIZE": "0"})
        recoveries = []
        with loading(replica.url, PATH, users=_USERS, rate=_OUTAGE_RATE, compare=True) as end:
            for number in range(kills):
                sys.stderr.write(f"  kill {number + 1} of {kills} ...\n")
                time.sleep(_BETWEEN_SECONDS)
                recoveries.append(_recovery_seconds(held, replica))
            done = end()
    failed, longest = done.server_errors + done.broken, max(recoveries)
    row = {
        "kills": f"{kills}",
        "answers": f"{done.requests:,}",
        "with a warning": f"{done.degraded:,}",
        "5xx or broken": f"{failed:,}",
        "wrong": f"{done.torn:,}",
        "recovery, median s": f"{statistics.median(recoveries):.2f}",
        "longest": f"{longest:.2f}",
    }
    figures = {"redis_kill_5xx": float(failed), "redis_recovery_s": round(longest, 2)}
    return Outcome.of(figures, _OUTAGE_PROTOCOL, [row])


def _recovery_seconds(held: Rig, replica: Replica) -> float:
    """From the restarted server's first answer to the first whole answer of the service."""
    held.kill_server()
    time.sleep(_AWAY_SECONDS)
    held.start_server()
    back = time.monotonic()
    wait_until(
        lambda: not get_json(replica.url + PATH.format(0))["warnings"],
        lambda: f"no whole answer {_PATIENCE_SECONDS:.0f} s after Redis is back",
        [replica.child],
        _PATIENCE_SECONDS,
        pause=0.01,
    )
    return time.monotonic() - back
