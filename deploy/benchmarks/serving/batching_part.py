"""Part `batching`: what one pass over the items for many requests gains, without HTTP."""

import asyncio
import statistics
import sys
import time

from deploy.benchmarks.parts import Outcome
from deploy.benchmarks.serving.grown import grown_artifact
from deploy.benchmarks.serving.rig import one_thread
from model.artifact.files import Artifact
from service.ops.metrics import Metrics
from service.recommend.engine import RecommendationEngine
from service.schemas.requests import RecommendationRequest
from service.serving.served import Served
from service.serving.snapshot import Search, build_snapshot, read_probe_users
from service.serving.source import OpenedModel

SEED = 0
ITEMS = 200_000
CONNECTIONS = 64
REQUESTS = 192
"""Per round and engine: three for each connection."""
ROUNDS = 5
MAX_BATCH = (1, 8, 32)
"""The first is unbatched, the last is the service's default."""

_PROTOCOL = f"""### Batching

`make bench BENCH=batching`: {CONNECTIONS} callers ask one engine for a top 20 with contributions,
each again as soon as it has its answer, on a grown model of {ITEMS:,} items (seed {SEED}) that is
searched exactly; one pinned thread, {ROUNDS} interleaved rounds of {REQUESTS} requests, median.
HTTP is left out. Seconds are of the wall clock: what else runs on the machine is in them, in all
alike."""


def measure() -> Outcome:
    """Compare the rates of several batch sizes."""
    artifact = grown_artifact(ITEMS, CONNECTIONS, SEED)
    with one_thread():
        rates = asyncio.run(_rates(artifact))
    unbatched = rates[MAX_BATCH[0]]
    return Outcome.of(
        {"batching_gain": round(rates[MAX_BATCH[-1]] / unbatched, 3)},
        _PROTOCOL,
        [
            {
                "most in a batch": str(size),
                "requests/s": f"{rate:.0f}",
                "over unbatched": f"{rate / unbatched:.2f}",
            }
            for size, rate in rates.items()
        ],
    )


async def _rates(artifact: Artifact) -> dict[int, float]:
    """Requests per second by the most in a batch."""
    opened = OpenedModel.of(artifact)
    snapshot = build_snapshot(opened, await read_probe_users(opened), Search("exact"))
    rates: dict[int, list[float]] = {size: [] for size in MAX_BATCH}
    for number in range(-1, ROUNDS):
        for size in MAX_BATCH:
            sys.stderr.write(f"  round {number}, batches of {size} ...\n")
            metrics = Metrics()
            served = Served.of(snapshot, "champion", metrics)
            engine = RecommendationEngine(
                metrics=metrics, max_batch=size, max_waiting=2 * CONNECTIONS
            )
            started = time.perf_counter()
            await asyncio.gather(*(_calls(engine, served, user) for user in range(CONNECTIONS)))
            if number >= 0:
                rates[size].append(REQUESTS / (time.perf_counter() - started))
            await engine.close()
    return {size: statistics.median(taken) for size, taken in rates.items()}


async def _calls(engine: RecommendationEngine, served: Served, user: int) -> None:
    request = RecommendationRequest(user_id=served.snapshot.user_ids[user], k=20)
    for _ in range(REQUESTS // CONNECTIONS):
        await engine.recommend(served, request)
