"""Part `reasons`: what naming items of the history adds to a list, without HTTP."""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any
from unittest.mock import patch

from deploy.benchmarks.parts import Outcome
from deploy.benchmarks.serving.grown import HISTORY, grown_artifact
from deploy.benchmarks.serving.rig import WARM_ROUNDS, one_thread
from model.runtime.evidence import ListedItems
from service.ops.metrics import Metrics
from service.ops.process import tune_process
from service.recommend import lists
from service.recommend.because import Reasons, because
from service.recommend.engine import RecommendationEngine
from service.recommend.lists import Asked
from service.recommend.resolution import read_user
from service.schemas.requests import RecommendationRequest
from service.serving.served import Served
from service.serving.snapshot import Search, Snapshot, build_snapshot, read_probe_users
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
{ROUNDS} rounds after one for every user. The ratio is that of a list to one without reasons, in
turns: for no item is anybody named, and all have the same sentence."""


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
            seconds, without = _timed(engine, asked, batch)
            ratio = seconds / without
            figures[f"reasons_{size // 1000}k_batch{batch}"] = round(ratio, 3)
            rows.append(
                {
                    "items": f"{size:,}",
                    "requests in a batch": str(batch),
                    "us a list": f"{seconds / batch * 1e6:.0f}",
                    "without reasons": f"{without / batch * 1e6:.0f}",
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


def _timed(engine: RecommendationEngine, asked: list[Asked], batch: int) -> tuple[float, float]:
    """Median seconds of a batch, and of one in which nobody is named."""
    taken: list[tuple[float, float]] = []
    with one_thread():
        for number in range(-WARM_ROUNDS, ROUNDS):
            users = [asked[(number * batch + place) % len(asked)] for place in range(batch)]
            seconds = _seconds(engine, users)
            with patch.object(lists, "because", _nobody_named):
                without = _seconds(engine, users)
            if number >= 0:
                taken.append((seconds, without))
    return median(whole for whole, _ in taken), median(without for _, without in taken)


def _seconds(engine: RecommendationEngine, users: list[Asked]) -> float:
    started = time.thread_time()
    engine.recommend_together(users)
    return time.thread_time() - started


def _nobody_named(snapshot: Snapshot, listed: Sequence[ListedItems], *others: Any) -> Reasons:
    """As `because` for lists without a history, which costs nothing."""
    return because(snapshot, [replace(each, histories=()) for each in listed], *others)
