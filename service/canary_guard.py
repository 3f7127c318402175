"""Watches the canary that this process serves, and ends it for everybody when it misbehaves.

Runs beside the requests and never raises; never touches the live version. Knows windows; what
misbehaviour is, is said by `canary_verdict`.
"""

import logging
import socket
import time
from dataclasses import dataclass

import numpy as np

from model.contract.canary import Canary
from service.canaries import Canaries
from service.canary_metrics import CanaryGauges
from service.canary_verdict import MIN_LISTS, misbehaviour
from service.refresh import ModelFollower
from service.tally import Counts
from service.variants import Models, Served
from service.watching import watch

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
        enough = self.challenger.tally.counts().since(self.challenger_then).routed >= MIN_LISTS
        return champion is not self.champion or (late and enough)


class CanaryGuard:
    """One per process that serves from Redis."""

    def __init__(
        self,
        follower: ModelFollower,
        canaries: Canaries,
        gauges: CanaryGauges,
        pause_seconds: float,
    ) -> None:
        self._follower = follower
        self._canaries = canaries
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
            await self._canaries.end("rolled_back", reason, only=canary)
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
                challenger_then=challenger.tally.counts(),
                champion_then=models.champion.tally.counts(),
                reported=watched.reported if watched is not None and same else 0,
            )
        return watched

    def _judge(self, canary: Canary, watched: _Watched) -> None:
        experts = watched.challenger.snapshot.manifest.experts
        reason = misbehaviour(
            watched.challenger.tally.counts().since(watched.challenger_then),
            watched.champion.tally.counts().since(watched.champion_then),
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
        answers = watched.challenger.tally.counts().answers
        if answers > watched.reported:
            await self._canaries.count(
                watched.challenger.snapshot.version, answers - watched.reported
            )
            watched.reported = answers
