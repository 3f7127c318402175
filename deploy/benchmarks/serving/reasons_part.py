"""Part `reasons`: what naming items of the history adds to a list, without HTTP."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any
from unittest.mock import patch

from deploy.benchmarks.parts import Outcome
from deploy.benchmarks.serving.grown import HISTORY, grown_artifact
from deploy.benchmarks.serving.rig import WARM_ROUNDS, one_thread
from service.ops.metrics import Metrics
from service.ops.process import tune_process
from service.recommend import answer, lists
from service.recommend.because import because, told
from service.recommend.engine import RecommendationEngine
from service.recommend.lists import Asked
from service.recommend.resolution import read_user
from service.schemas.requests import RecommendationRequest
from service.serving.served import Served
from service.serving.snapshot import Search, build_snapshot, read_probe_users
from service.serving.source import OpenedModel

SEED = 0
SIZES = (2_000, 50_000)
USERS = 64
TOP = 20
BATCHES = (1, 8)
ROUNDS = 64

_PROTOCOL = f"""### Reasons

`make bench BENCH=reasons`: the engine's processor time for the top {TOP} with contributions, JSON
included, HTTP left out, on grown models (seed {SEED}; users have {HISTORY} items), one pinned
thread in a process set up as the service's, requests answered alone and in batches, the median of
{ROUNDS} rounds after one for every user. The ratio is that of the whole to what is left without
naming items of the history and making sentences of them."""


def measure() -> Outcome:
    """Time lists and, within them, their reasons."""
    tune_process()
    figures: dict[str, float] = {}
    rows = []
    for size in SIZES:
        sys.stderr.write(f"  {size:,} items ...\n")
        engine, asked = asyncio.run(_prepared(size))
        engine.recommend_together(asked)  # titles of items that were shown are kept
        for batch in BATCHES:
            with one_thread(), _timed() as reasons:
                whole = [
                    _seconds(engine, asked, number, batch, reasons) for number in range(ROUNDS)
                ]
            seconds, of_reasons = (median(each[place] for each in whole) for place in (0, 1))
            ratio = seconds / (seconds - of_reasons)
            figures[f"reasons_{size // 1000}k_batch{batch}"] = round(ratio, 3)
            rows.append(
                {
                    "items": f"{size:,}",
                    "requests in a batch": str(batch),
                    "us a list": f"{seconds / batch * 1e6:.0f}",
                    "of these for reasons": f"{of_reasons / batch * 1e6:.0f}",
                    "ratio": f"{ratio:.3f}",
                }
            )
    return Outcome.of(figures, _PROTOCOL, rows)


async def _prepared(size: int) -> tuple[RecommendationEngine, list[Asked]]:
    opened = OpenedModel.of(grown_artifact(size, USERS, SEED))
    snapshot = build_snapshot(opened, await read_probe_users(opened), Search("exact"))
    metrics = Metrics()
    served = Served.of(snapshot, "champion", metrics)
    engine = RecommendationEngine(metrics=metrics, max_batch=max(BATCHES), max_waiting=USERS)
    asked = []
    for row in range(USERS):
        request = RecommendationRequest(user_id=snapshot.user_ids[row], k=TOP)
        asked.append((served, request, await read_user(snapshot, request.user_id)))
    return engine, asked


@contextmanager
def _timed() -> Iterator[list[float]]:
    """Seconds of every call that finds or tells the reasons of a list."""
    taken: list[float] = []

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            started = time.thread_time()
            found = function(*given)
            taken.append(time.thread_time() - started)
            return found

        return call

    with patch.object(lists, "because", timed(because)), patch.object(answer, "told", timed(told)):
        yield taken


def _seconds(
    engine: RecommendationEngine, asked: list[Asked], number: int, batch: int, reasons: list[float]
) -> tuple[float, float]:
    """Of one batch and, within it, of its reasons."""
    users = [asked[(number * batch + place) % len(asked)] for place in range(batch)]
    for _ in range(WARM_ROUNDS if number == 0 else 0):
        engine.recommend_together(users)
    reasons.clear()
    started = time.thread_time()
    engine.recommend_together(users)
    return time.thread_time() - started, sum(reasons)
