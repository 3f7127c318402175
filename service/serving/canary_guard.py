"""Watches the canary that this process serves, and ends it for everybody when it misbehaves.

Runs beside the requests and never raises; never touches the live version. Knows windows; what
misbehaviour is, is said by `canary_verdict`.
"""

# FOLDED service/serving/canary_guard.py: Does a canary misbehave? Its failures beside the live model's, its routing beside its usual one.
#
#   Pure: counts of one window in, a reason out. Knows nothing about where counts come from.
#
#   Letters: K experts.
#

import logging
import math
import socket
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.registry.canary import Canary
from service.ops.metrics import CanaryGauges
from service.ops.process import watch
from service.serving.follower import ModelFollower
from service.serving.served import Counts, Models, Served
from service.store.registry import Registry

MIN_REQUESTS = 20
"""Fewer say nothing about failures; from here on the interval below is the guard."""
DEVIATIONS = 3.0
"""Of the interval around the canary's share of failures: chance alone puts the true share below it
in one window of 700."""
FAILURE_MARGIN = 0.01
"""More of the requests than of the live model's may fail before users mind: ours."""
MIN_LISTS = 100
"""Lists whose routing is judged. Of nine experts' normalised entropy on MovieLens-100K and on
planted data, samples of 50 users' lists had a standard deviation of 0.04 at most."""
ENTROPY_BAND = 0.25
"""How far the normalised entropy of what is served may lie from the model's usual one. On the same
data that of 200 users' lists lay within 0.09 of it, and no sample of 50 further off than 0.21."""


def misbehaviour(challenger: Counts, champion: Counts, usual_K: NDArray[np.float64]) -> str | None:
    """Why a canary must end, with figures; None while nothing says so.

    Args:
        challenger: what the canary did in some window.
        champion: what the live model did in the same.
        usual_K: the canary's usual routing weights, as its manifest has them.
    """
    return _failing(challenger, champion) or _misrouted(challenger, champion, usual_K)


def normalised_entropy(weight_K: NDArray[np.float64]) -> float:
    """Entropy of a mean routing over log K: 0 if one expert does all, 1 if all do alike."""
    if len(weight_K) == 1:
        return 1.0
    share_K = weight_K[weight_K > 0] / weight_K.sum()
    return abs(float((share_K * np.log(share_K)).sum())) / math.log(len(weight_K))


def _failing(challenger: Counts, champion: Counts) -> str | None:
    if challenger.requests < MIN_REQUESTS:
        return None
    usual = champion.failures / max(1, champion.requests)
    if _at_least(challenger.failures, challenger.requests) <= usual + FAILURE_MARGIN:
        return None
    return (
        f"{challenger.failures} of its {challenger.requests} requests failed, of the live "
        f"model's {champion.failures} of {champion.requests}"
    )


def _at_least(failures: int, requests: int) -> float:
    """The lower end of Wilson's interval for a share.

    Ref: Wilson (1927), Probable inference, J. Am. Stat. Assoc. 22.
    """
    share, squared = failures / requests, DEVIATIONS**2
    spread = DEVIATIONS * math.sqrt(share * (1 - share) / requests + squared / (4 * requests**2))
    return (share + squared / (2 * requests) - spread) / (1 + squared / requests)


def _misrouted(challenger: Counts, champion: Counts, usual_K: NDArray[np.float64]) -> str | None:
    """Its own band on either side; and not below the live model's, whatever its manifest says."""
    if challenger.routed < MIN_LISTS:
        return None
    served, usual = normalised_entropy(challenger.weight_K), normalised_entropy(usual_K)
    what = f"the entropy of its experts' shares is {served:.2f} in {challenger.routed} lists"
    if abs(served - usual) > ENTROPY_BAND:
        return f"{what}, its usual one is {usual:.2f}"
    if champion.routed >= MIN_LISTS:
        live = normalised_entropy(champion.weight_K)
        if served < live - ENTROPY_BAND:
            return f"{what}, the live model's is {live:.2f}"
    return None


WINDOW_SECONDS = 600.0
"""Ours: what goes wrong after hours must not hide behind what went right before. A window goes on
for longer while too few lists have been served in it to be judged."""


_logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Watched:
    """A canary and the live model beside it, and what had been counted of them when."""

    challenger: Served
    champion: Served
    since: float
    """Monotonic seconds."""
    challenger_then: Counts
    champion_then: Counts
    reported: int = 0
    """Answers of the canary that have been added to those of all replicas."""

    def is_over(self, champion: Served, now: float) -> bool:
        """Whether another window is to begin: time is up, or the live model is another one."""
        late = now - self.since > WINDOW_SECONDS
        enough = self.challenger.statistics.counts().since(self.challenger_then).routed >= MIN_LISTS
        return champion is not self.champion or (late and enough)


class CanaryGuard:
    """One per process that serves from Redis."""

    def __init__(
        self,
        follower: ModelFollower,
        registry: Registry,
        gauges: CanaryGauges,
        pause_seconds: float,
    ) -> None:
        self._follower = follower
        self._registry = registry
        self._gauges = gauges
        self._pause_seconds = pause_seconds
        self._watched: _Watched | None = None
        self._condemned: tuple[Canary, str] | None = None
        """What has been withdrawn here, until the store has been told."""

    async def run(self) -> None:
        """Watch until cancelled."""
        await watch(self._look, self._pause_seconds, "the canary")

    async def _look(self) -> None:
        self._gauges.tell(self._follower.canary)
        models = self._follower.models
        if models is not None and models.trial is not None:
            self._judge(models.trial.canary, self._watch(models, models.trial.served))
        if self._condemned is not None:
            canary, reason = self._condemned
            await self._registry.end_canary("rolled_back", reason, only=canary)
            self._condemned = None
        await self._report()
        if models is None or models.trial is None:
            self._watched = None  # it holds a whole model

    def _watch(self, models: Models, challenger: Served) -> _Watched:
        """What is watched, in a new window if the last one is over or was about other models."""
        now, watched = time.monotonic(), self._watched
        same = watched is not None and watched.challenger is challenger
        if watched is None or not same or watched.is_over(models.champion, now):
            self._watched = watched = _Watched(
                challenger=challenger,
                champion=models.champion,
                since=now,
                challenger_then=challenger.statistics.counts(),
                champion_then=models.champion.statistics.counts(),
                reported=watched.reported if watched is not None and same else 0,
            )
        return watched

    def _judge(self, canary: Canary, watched: _Watched) -> None:
        experts = watched.challenger.snapshot.manifest.experts
        reason = misbehaviour(
            watched.challenger.statistics.counts().since(watched.challenger_then),
            watched.champion.statistics.counts().since(watched.champion_then),
            np.array([expert.usual_weight for expert in experts]),
        )
        if reason is not None:
            _logger.error("canary %s is rolled back: %s", canary.version, reason)
            self._follower.withdraw(canary)
            self._condemned = canary, f"{reason} (seen by {socket.gethostname()})"

    async def _report(self) -> None:
        """Add what the canary has answered here to what it has answered everywhere."""
        watched = self._watched
        if watched is None:
            return
        answers = watched.challenger.statistics.counts().answers
        if answers > watched.reported:
            await self._registry.count_answers(
                watched.challenger.snapshot.version, answers - watched.reported
            )
            watched.reported = answers
