"""Follows the live version and the canary: loads them, swaps them in; keeps what it has on failure.

Runs beside the requests for as long as the process lives and never raises. Knows nothing about
HTTP; what stands in the way is a sentence in `trouble` and in `canary_trouble`.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Literal

from model.artifact.files import ArtifactError
from model.registry.canary import Canary
from service.ops.metrics import Metrics
from service.ops.settings import Retrieval
from service.schemas.errors import SourceUnavailable
from service.serving.loader import Loaded, NotLoaded, VersionLoader, jittered
from service.serving.served import Models, Served, Trial
from service.serving.snapshot import Snapshot
from service.serving.source import ModelSource
from service.store.store import Wanted

FIRST_RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 5.0
"""While the source does not answer: soon at first, then rarely enough to leave it alone."""

Origin = Literal["store", "disk"]
"""Where the served model was loaded from: the store (Redis or the artifact folder), or what this
machine kept of the model that it served last."""

_logger = logging.getLogger(__name__)


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
        self.models: Models | None = None
        self.origin: Origin = "store"
        self.trouble: str | None = "the first model is being looked for"
        self.canary: Canary | None = None
        """The latest, running or ended, as last read."""
        self.canary_trouble: str | None = None
        self._source = source
        self._metrics = metrics
        self._namespace = namespace
        self._poll_seconds = poll_seconds
        self._live_loader, self._canary_loader = (
            VersionLoader(source, metrics, poll_seconds=poll_seconds, retrieval=retrieval)
            for _ in range(2)
        )
        self._silences = 0
        self._looked_back = False
        self._challenger: Loaded | None = None
        """The canary's model, and the live one for as long as it is the one that was promoted."""
        self._trial: Trial | None = None
        self._withdrawn: Canary | None = None

    @property
    def _serves(self) -> bool:
        return self.models is not None

    @property
    def snapshot(self) -> Snapshot | None:
        """The live model, as far as it has been loaded."""
        return None if self.models is None else self.models.champion.snapshot

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

    def withdraw(self, canary: Canary) -> None:
        """Serve nobody from a canary any more, whatever the source says."""
        self._withdrawn = canary
        self._try(None)

    async def _step(self) -> None:
        try:
            wanted = await self._source.wanted()
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
        # First, so that a restarted replica is ready with both: nobody's variant changes by it.
        await self._follow_canary(wanted)
        if wanted.live is None:
            self._say(
                f"no model has been published to namespace {self._namespace}: "
                "run `python -m training publish ARTIFACT`"
            )
        elif self.snapshot is not None and self.snapshot.version == wanted.live:
            self._say(None)
        elif not self._live_loader.is_refused(wanted.live):
            await self._go_live(wanted.live)

    def _answered(self) -> None:
        self._silences = 0
        self._metrics.source_up.set(1)

    async def _go_live(self, version: str) -> None:
        loaded = self._challenger
        if loaded is None or loaded.snapshot.version != version:
            try:
                loaded = await self._live_loader.load(version, beside_requests=self._serves)
            except SourceUnavailable as error:
                self._silences += 1
                self._say(str(error))
                return
            except NotLoaded as error:
                self._say(str(error))
                return
        self._adopt(loaded, "store")
        self._say(None)
        await self._source.remember(loaded.opened, loaded.trial_users)

    async def _load_last_good(self) -> None:
        """Serve what this machine served last rather than nothing."""
        try:
            kept = await self._source.last_good()
            if kept is None:
                return
            loaded = await self._live_loader.load_kept(kept)
        except Exception:
            # As in loading: a damaged copy must not keep the store's from being loaded.
            _logger.exception("the model kept on disk cannot be used")
            return
        self._adopt(loaded, "disk")

    def _adopt(self, loaded: Loaded, origin: Origin) -> None:
        """From now on requests are answered from this snapshot."""
        snapshot = loaded.snapshot
        self.models = Models(
            champion=Served.of(snapshot, "champion", self._metrics), trial=self._trial
        )
        self.origin = origin
        self._metrics.serving(snapshot.version, snapshot.created_at)
        self._metrics.retrieving(snapshot.chosen.retriever.name, snapshot.chosen.recall)
        _logger.info(
            "serving model version %s", snapshot.version, extra={"seconds": loaded.seconds}
        )

    async def _follow_canary(self, wanted: Wanted) -> None:
        self.canary = canary = wanted.canary
        if canary is None or canary.outcome is not None or canary.version == wanted.live:
            self._try(None)
            self._say_of_canary(None)
            if self._challenger is not None and self._challenger.snapshot.version != wanted.live:
                self._challenger = None
        elif canary.is_same(self._withdrawn):
            self._say_of_canary(f"the canary {canary.version} is withdrawn: it misbehaved here")
        elif self._challenger is None or self._challenger.snapshot.version != canary.version:
            self._challenger = None
            self._try(None)
            await self._load_canary(canary)
        else:
            self._try(canary)

    async def _load_canary(self, canary: Canary) -> None:
        if self._canary_loader.is_refused(canary.version):
            return
        try:
            self._challenger = await self._canary_loader.load(
                canary.version, beside_requests=self._serves
            )
        except (SourceUnavailable, NotLoaded) as error:
            self._say_of_canary(f"its users get the live model, the canary is not served: {error}")
            return
        self._try(canary)
        self._say_of_canary(None)
        _logger.info(
            "serving canary %s to %.1f %% of the users",
            canary.version,
            100 * canary.share,
            extra={"seconds": self._challenger.seconds},
        )

    def _try(self, canary: Canary | None) -> None:
        """From now on a canary's users get its model; None: everybody gets the live one."""
        if canary is None or self._challenger is None:
            trial = None
        elif self._trial is not None and canary.is_same(self._trial.canary):
            trial = replace(self._trial, canary=canary)
        else:
            served = Served.of(self._challenger.snapshot, "challenger", self._metrics)
            trial = Trial(canary=canary, served=served)
        self._trial = trial
        if self.models is not None:
            self.models = replace(self.models, trial=trial)
        self._metrics.trying(canary if trial is not None else None)

    def _say_of_canary(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self.canary_trouble:
            _logger.warning(trouble)
        self.canary_trouble = trouble

    def _say(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self.trouble:
            _logger.warning(trouble)
        self.trouble = trouble

    def _pause_seconds(self) -> float:
        if self._silences == 0:
            return jittered(self._poll_seconds)
        return jittered(
            min(FIRST_RETRY_SECONDS * 2 ** min(self._silences, 9), LONGEST_RETRY_SECONDS)
        )


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel a follower's task and wait for its end.

    Again until it ends: `asyncio.wait_for` before Python 3.12, which the Redis client uses, loses a
    cancellation that arrives together with its result.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
