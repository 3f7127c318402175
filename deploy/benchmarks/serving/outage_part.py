"""Part `redis`: the server is killed and started again under load, time after time.

Knows how long it stays away; knows nothing about how the service copes.
"""

import statistics
import sys
import time

from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.load import loading
from deploy.benchmarks.serving.rig import PATH, Outcome, Part, Replica, Rig, rig, scaled, table
from deploy.local.http import get_json
from deploy.local.processes import ChildDied

_ITEMS, _USERS, SEED = 7_000, 1_000, 0
_KILLS = 10
_AWAY_SECONDS = 1.0
_BETWEEN_SECONDS = 2.0
_RATE = 50.0
_PATIENCE_SECONDS = 60.0


def _measure() -> Outcome:
    kills = scaled(_KILLS, 2)
    with rig() as held:
        held.publish(held.save(grown_artifact(_ITEMS, _USERS, SEED)))
        # No user is kept in memory, so that every request feels an outage.
        replica = held.start({"MAGNET_USER_CACHE_SIZE": "0"})
        recoveries = []
        with loading(replica.url, PATH, users=_USERS, rate=_RATE, compare=True) as end:
            for number in range(kills):
                sys.stderr.write(f"  kill {number + 1} of {kills} ...\n")
                time.sleep(_BETWEEN_SECONDS)
                recoveries.append(_outage(held, replica))
            done = end()
    figures = {
        "redis_kill_5xx": float(done.server_errors + done.broken),
        "redis_recovery_s": round(max(recoveries), 2),
    }
    counts = (kills, done.requests, done.degraded, done.server_errors + done.broken, done.torn)
    row = (
        *(f"{n:,}" for n in counts),
        f"{statistics.median(recoveries):.2f}",
        f"{max(recoveries):.2f}",
    )
    header = (
        "kills", "answers", "with a warning", "5xx or broken", "wrong", "recovery, median s",
        "longest",
    )  # fmt: skip
    return Outcome(figures=figures, text=f"{_PROTOCOL}\n\n{table(header, [row])}")


def _outage(held: Rig, replica: Replica) -> float:
    """Seconds from the server's first answer to the first whole answer of the service."""
    held.kill_server()
    time.sleep(_AWAY_SECONDS)
    held.start_server()
    back = time.monotonic()
    while get_json(replica.url + PATH.format(0))["warnings"]:
        if time.monotonic() - back > _PATIENCE_SECONDS:
            raise ChildDied(f"no whole answer {_PATIENCE_SECONDS:.0f} s after Redis is back")
        time.sleep(0.01)
    return time.monotonic() - back


_PROTOCOL = f"""### Redis killed

`make bench BENCH=redis`: {_ITEMS:,} items (grown model, seed {SEED}), {_RATE:.0f} requests per
second, no user kept in memory. The server is killed, stays away for {_AWAY_SECONDS:.0f} s and is
started again on its data; recovery runs from its first answer to the service's first answer without
a warning."""

OUTAGE = Part(
    name="redis",
    summary="Redis killed and restarted under load: errors, and time until answers are whole",
    measure=_measure,
)
