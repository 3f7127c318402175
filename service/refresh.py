"""Follows the live version: loads it, proves it, swaps it in; keeps the old one if that fails.

Runs beside the requests for as long as the process lives and never raises. Knows nothing about
HTTP; what stands in the way is a sentence in `trouble`.
"""

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from functools import partial
from typing import Literal

from anyio import to_thread

from model.contract.artifact import ArtifactError
from service.errors import SourceUnavailable
from service.metrics import Metrics
from service.settings import Retrieval
from service.snapshot import (
    GoldenMismatch,
    Snapshot,
    TrialUsers,
    build_snapshot,
    read_trial_users,
)
from service.source import ModelSource, OpenedModel

FIRST_RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 5.0
"""While the source does not answer: soon at first, then rarely enough to leave it alone."""
LONGEST_RELOAD_SECONDS = 300.0
"""A version that was refused once is read again only after a growing pause; it is large."""

Origin = Literal["store", "disk"]
"""Where the served model was loaded from: the store (Redis or the artifact folder), or what this
machine kept of the model that it served last."""

_logger = logging.getLogger(__name__)
_dice = random.Random()
"""Our own: a thread that draws from the global generator disturbs whoever has seeded it."""


@dataclass(slots=True)
class _Refused:
    """A version that could not be loaded, and when to try it again (monotonic seconds)."""

    version: str
    attempts: int = 0
    retry_at: float = 0.0


class ModelFollower:
    """Holds the one reference that requests capture."""

    def __init__(
        self,
        source: ModelSource,
        metrics: Metrics,
        *,
        namespace: str,
        poll_seconds: float,
        retrieval: Retrieval,
    ) -> None:
        self.snapshot: Snapshot | None = None
        self.origin: Origin = "store"
        self.trouble: str | None = "the first model is being looked for"
        self._source = source
        self._metrics = metrics
        self._namespace = namespace
        self._poll_seconds = poll_seconds
        self._retrieval = retrieval
        self._silences = 0
        self._refused: _Refused | None = None
        self._looked_back = False

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._step()
            except Exception as error:
                # A follower that has died looks like one with nothing to do; go on instead.
                _logger.exception("the live version could not be looked up")
                self._silences += 1
                self._say(f"the live version could not be looked up: {error!r}, retrying")
            await self._source.wait(self._pause_seconds())

    async def _step(self) -> None:
        try:
            version = await self._source.live_version()
        except SourceUnavailable as error:
            self._silences += 1
            self._metrics.source_up.set(0)
            self._say(f"{error}, retrying")
            if self.snapshot is None and not self._looked_back:
                self._looked_back = True
                await self._load_last_good()
            return
        except ArtifactError as error:
            self._answered()
            self._say(str(error))
            return
        self._answered()
        if version is None:
            self._say(
                f"no model has been published to namespace {self._namespace}: "
                "run `python -m training publish ARTIFACT`"
            )
        elif self.snapshot is not None and self.snapshot.version == version:
            self._say(None)
        elif not self._is_refused(version):
            await self._load(version)

    def _answered(self) -> None:
        self._silences = 0
        self._metrics.source_up.set(1)

    async def _load(self, version: str) -> None:
        started = time.perf_counter()
        try:
            opened = await self._source.open(version)
            users = await read_trial_users(opened)
            snapshot = await self._built(opened, users)
        except SourceUnavailable as error:
            self._silences += 1
            self._failed(version, "unreachable", f"could not be read: {error}")
        except GoldenMismatch as error:
            self._refuse(version, "golden", f"is refused: {error}")
        except ArtifactError as error:
            self._refuse(version, "damaged", f"is damaged: {error}")
        except Exception as error:
            # Whatever a file can provoke must not end the loop that could load the next one.
            _logger.exception("model version %s could not be loaded", version)
            self._refuse(version, "failed", f"could not be loaded: {error!r}")
        else:
            self._adopt(snapshot, "store", started)
            self._refused = None
            self._say(None)
            await self._source.remember(opened, users.arrays())

    async def _load_last_good(self) -> None:
        """Serve what this machine served last rather than nothing."""
        started = time.perf_counter()
        try:
            kept = await self._source.last_good()
            if kept is None:
                return
            snapshot = await self._built(kept.opened, TrialUsers.of(kept.trial_users))
        except Exception:
            # As in `_load`: a damaged copy must not keep the store's from being loaded.
            _logger.exception("the model kept on disk cannot be used")
            return
        self._adopt(snapshot, "disk", started)

    async def _built(self, opened: OpenedModel, users: TrialUsers) -> Snapshot:
        return await to_thread.run_sync(partial(build_snapshot, opened, users, self._retrieval))

    def _adopt(self, snapshot: Snapshot, origin: Origin, started: float) -> None:
        """From now on requests are answered from this snapshot."""
        self.snapshot, self.origin = snapshot, origin
        self._metrics.loads.labels("success", "").inc()
        self._metrics.serving(snapshot.version, snapshot.created_at)
        self._metrics.retrieving(snapshot.chosen.retriever.name, snapshot.chosen.recall)
        seconds = round(time.perf_counter() - started, 3)
        _logger.info("serving model version %s", snapshot.version, extra={"seconds": seconds})

    def _refuse(self, version: str, reason: str, what: str) -> None:
        refused = self._refused
        if refused is None or refused.version != version:
            refused = self._refused = _Refused(version)
        refused.attempts += 1
        pause = self._poll_seconds * 2 ** min(refused.attempts, 30)
        refused.retry_at = time.monotonic() + _jittered(min(pause, LONGEST_RELOAD_SECONDS))
        self._failed(version, reason, what)

    def _failed(self, version: str, reason: str, what: str) -> None:
        self._metrics.loads.labels("failure", reason).inc()
        self._say(f"model version {version} {what}")

    def _is_refused(self, version: str) -> bool:
        refused = self._refused
        return (
            refused is not None
            and refused.version == version
            and time.monotonic() < refused.retry_at
        )

    def _say(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self.trouble:
            _logger.warning(trouble)
        self.trouble = trouble

    def _pause_seconds(self) -> float:
        if self._silences == 0:
            return _jittered(self._poll_seconds)
        return _jittered(
            min(FIRST_RETRY_SECONDS * 2 ** min(self._silences, 9), LONGEST_RETRY_SECONDS)
        )


def _jittered(seconds: float) -> float:
    """Spread over +-20 %, so that replicas do not ask in step."""
    return seconds * _dice.uniform(0.8, 1.2)


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel a follower's task and wait for its end.

    Again until it ends: `asyncio.wait_for` before Python 3.12, which the Redis client uses, loses a
    cancellation that arrives together with its result.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
