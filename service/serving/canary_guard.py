"""Ends the canary for everybody if it misbehaves here: if it fails, or routes unusually.

`misbehaviour` judges the counts of one window; `CanaryGuard` keeps the windows. The live version is
never touched. Letters: K experts.
"""

import logging
import math
import socket
import time

import numpy as np
from numpy.typing import NDArray

from model.registry.canary import Canary
from service.ops.metrics import Metrics
from service.serving.follower import ModelFollower
from service.serving.served import Counts, Served, ServedCanary
from service.store.registry import Registry

MIN_REQUESTS = 20
"""Fewer say nothing about failures; with more, the interval below keeps chance out."""
DEVIATIONS = 3.0
"""Standard deviations below the canary's share of failures. By chance the true share is lower still
in one window of 700."""
FAILURE_MARGIN = 0.01
"""How much more often than the live model's its requests may fail: ours."""
MIN_LISTS = 100
"""Fewest lists whose routing is judged. On MovieLens-100K and on planted data, the normalised
entropy of nine experts had a standard deviation of 0.04 at most in samples of 50 users' lists."""
ENTROPY_BAND = 0.25
"""How far the normalised entropy of what is served may lie from the model's usual one. On the same
data, samples of 200 users' lists lay within 0.09 of it, and samples of 50 within 0.21."""
WINDOW_SECONDS = 600.0
"""Ours: trouble that begins after hours must not hide behind the good hours before. A window lasts
longer while it has too few lists to be judged."""

_logger = logging.getLogger(__name__)


def misbehaviour(canary: Counts, live: Counts, usual_K: NDArray[np.float64]) -> str | None:
    """Why a canary must end, with figures; None if there is no reason.

    Args:
        canary: counts of the canary in one window.
        live: counts of the live model in the same window.
        usual_K: the canary's usual routing weights, from its manifest.
    """
    return _failing(canary, live) or _misrouted(canary, live, usual_K)


def normalised_entropy(weight_K: NDArray[np.float64]) -> float:
    """Entropy of routing weights over log K: 0 if one expert has all, 1 if all have the same."""
    if len(weight_K) == 1:
        return 1.0
    share_K = weight_K[weight_K > 0] / weight_K.sum()
    return abs(float((share_K * np.log(share_K)).sum())) / math.log(len(weight_K))


def _failing(canary: Counts, live: Counts) -> str | None:
    if canary.requests < MIN_REQUESTS:
        return None
    usual = live.failures / max(1, live.requests)
    if _at_least(canary.failures, canary.requests) <= usual + FAILURE_MARGIN:
        return None
    return (
        f"{canary.failures} of its {canary.requests} requests failed, of the live model's "
        f"{live.failures} of {live.requests}"
    )


def _at_least(failures: int, requests: int) -> float:
    """The lower end of Wilson's interval for the share of failures.

    Ref: Wilson (1927), Probable inference, J. Am. Stat. Assoc. 22.
    """
    share, squared = failures / requests, DEVIATIONS**2
    spread = DEVIATIONS * math.sqrt(share * (1 - share) / requests + squared / (4 * requests**2))
    return (share + squared / (2 * requests) - spread) / (1 + squared / requests)


def _misrouted(canary: Counts, live: Counts, usual_K: NDArray[np.float64]) -> str | None:
    """Judge it by its manifest, too high or too low, and by the live model: too low."""
    if canary.routed < MIN_LISTS:
        return None
    served, usual = normalised_entropy(canary.weight_K), normalised_entropy(usual_K)
    what = f"the entropy of its experts' shares is {served:.2f} in {canary.routed} lists"
    if abs(served - usual) > ENTROPY_BAND:
        return f"{what}, its usual one is {usual:.2f}"
    if live.routed >= MIN_LISTS:
        lives = normalised_entropy(live.weight_K)
        if served < lives - ENTROPY_BAND:
            return f"{what}, the live model's is {lives:.2f}"
    return None


class _Window:
    """A canary and the live model beside it, and their counts when the window began."""

    def __init__(self, canary: Served, live: Served) -> None:
        self.canary = canary
        self.live = live
        self._began = time.monotonic()
        self._start = canary.statistics.counts(), live.statistics.counts()

    def counts(self) -> tuple[Counts, Counts]:
        """Those of the canary and of the live model since it began."""
        canary_start, live_start = self._start
        return (
            self.canary.statistics.counts().since(canary_start),
            self.live.statistics.counts().since(live_start),
        )

    def is_over(self) -> bool:
        late = time.monotonic() - self._began > WINDOW_SECONDS
        return late and self.counts()[0].routed >= MIN_LISTS


class CanaryGuard:
    """One per process that serves from Redis; `look` is to be called again and again."""

    def __init__(self, follower: ModelFollower, registry: Registry, metrics: Metrics) -> None:
        self._follower = follower
        self._registry = registry
        self._metrics = metrics
        self._window: _Window | None = None
        self._reported = 0
        """Answers of the canary that have been added to those of all replicas."""
        self._condemned: tuple[Canary, str] | None = None
        """What has been withdrawn here, until the store has been told."""

    async def look(self) -> None:
        """Judge the canary, end it if need be, and report its answers; SourceUnavailable."""
        self._metrics.show_canary(self._follower.canary.latest)
        models = self._follower.models
        canary = None if models is None else models.canary
        if models is not None and canary is not None:
            self._judge(canary, models.live)
        if self._condemned is not None:
            condemned, reason = self._condemned
            await self._registry.end_canary("rolled_back", reason, only=condemned)
            self._condemned = None
        await self._report()
        if canary is None:
            self._window = None  # it holds a whole model

    def _judge(self, canary: ServedCanary, live: Served) -> None:
        window = self._window
        if window is None or window.canary.statistics is not canary.model.statistics:
            self._reported = 0
            window = _Window(canary.model, live)
        elif window.live.statistics is not live.statistics or window.is_over():
            window = _Window(canary.model, live)
        self._window = window
        experts = canary.model.snapshot.manifest.experts
        usual_K = np.array([expert.usual_weight for expert in experts])
        reason = misbehaviour(*window.counts(), usual_K)
        if reason is not None:
            _logger.error("canary %s is rolled back: %s", canary.record.version, reason)
            self._follower.canary.withdraw(canary.record)
            self._condemned = canary.record, f"{reason} (seen by {socket.gethostname()})"

    async def _report(self) -> None:
        """Add what the canary has answered here to what it has answered everywhere."""
        if self._window is None:
            return
        canary = self._window.canary
        answers = canary.statistics.counts().answers
        if answers > self._reported:
            await self._registry.count_answers(canary.snapshot.version, answers - self._reported)
            self._reported = answers
