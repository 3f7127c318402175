"""Follows what a namespace says is to be served: the live version, and the canary if there is one.

`LiveFollower` and `CanaryFollower` each load what is wanted in their role and keep what they have
on failure. `ModelFollower` asks the source what is wanted, for as long as the process lives, and
holds both. None of them raises; what stands in the way is a sentence in `trouble`.
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
from service.serving.served import Models, Served, ServedCanary
from service.serving.snapshot import Snapshot
from service.serving.source import ModelSource
from service.store.store import Wanted

FIRST_RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 5.0
"""While the source does not answer: soon at first, then rarely enough to leave it alone."""

Origin = Literal["store", "disk"]
"""Where the live model was loaded from: the store (Redis or the artifact folder), or this machine's
copy of the model that it served last."""

_logger = logging.getLogger(__name__)


class LiveFollower:
    """Loads the live version."""

    def __init__(
        self, source: ModelSource, loader: VersionLoader, metrics: Metrics, namespace: str
    ) -> None:
        self.served: Served | None = None
        self.origin: Origin = "store"
        self.trouble: str | None = "the first model is being looked for"
        self._source = source
        self._loader = loader
        self._metrics = metrics
        self._namespace = namespace
        self._looked_back = False

    async def follow(self, version: str | None, loaded: Loaded | None) -> None:
        """Serve a version.

        Args:
            version: the one that is to be live; None if nothing has been published.
            loaded: that version, if it is loaded already.

        Raises:
            SourceUnavailable: the version cannot be read now.
        """
        if version is None:
            self.note(
                f"no model has been published to namespace {self._namespace}: "
                "run `magnet publish ARTIFACT`"
            )
        elif self.served is not None and self.served.snapshot.version == version:
            self.note(None)
        elif not self._loader.is_refused(version):
            try:
                if loaded is None:
                    loaded = await self._loader.load(
                        version, beside_requests=self.served is not None
                    )
            except NotLoaded as error:
                self.note(str(error))
                return
            self._serve(loaded, "store")
            self.note(None)
            await self._source.remember(loaded.opened, loaded.probe_users.arrays())

    async def look_back(self) -> None:
        """Serve what this machine served last, rather than nothing; tried once."""
        if self.served is not None or self._looked_back:
            return
        self._looked_back = True
        try:
            kept = await self._source.last_good()
            loaded = None if kept is None else await self._loader.load_kept(kept)
        except Exception:
            # As in loading: a damaged copy must not keep the store's from being loaded.
            _logger.exception("the model kept on disk cannot be used")
            return
        if loaded is not None:
            self._serve(loaded, "disk")

    def note(self, trouble: str | None) -> None:
        """Say what stands in the way of the live version; None: nothing."""
        self.trouble = _noted(trouble, self.trouble)

    def _serve(self, loaded: Loaded, origin: Origin) -> None:
        snapshot = loaded.snapshot
        self.served = Served.of(snapshot, "champion", self._metrics)
        self.origin = origin
        self._metrics.serving(snapshot.version, snapshot.created_at)
        self._metrics.retrieving(snapshot.chosen.retriever.name, snapshot.chosen.recall)
        _logger.info(
            "serving model version %s", snapshot.version, extra={"seconds": loaded.seconds}
        )


class CanaryFollower:
    """Loads the canary while one runs, unless it was withdrawn here."""

    def __init__(self, loader: VersionLoader, metrics: Metrics) -> None:
        self.latest: Canary | None = None
        """The latest canary, running or ended, as last read."""
        self.served: ServedCanary | None = None
        """The canary that is served; None: its users get the live model."""
        self.trouble: str | None = None
        self._loader = loader
        self._metrics = metrics
        self._loaded: Loaded | None = None
        """The canary's model. Once promoted it stays for as long as it is live."""
        self._withdrawn: Canary | None = None

    def loaded(self, version: str | None) -> Loaded | None:
        """The model of a version, if it is or was the canary's."""
        found = self._loaded
        return found if found is not None and found.snapshot.version == version else None

    async def follow(self, wanted: Wanted, *, beside_requests: bool) -> None:
        """Serve the canary that is wanted, or none."""
        self.latest = canary = wanted.canary
        if canary is None or canary.outcome is not None or canary.version == wanted.live:
            self._serve(None)
            self._note(None)
            self._loaded = self.loaded(wanted.live)
        elif canary.is_same(self._withdrawn):
            self._note(f"the canary {canary.version} is withdrawn: it misbehaved here")
        elif self.loaded(canary.version) is not None:
            self._serve(canary)
        else:
            self._loaded = None
            self._serve(None)
            await self._load(canary, beside_requests=beside_requests)

    def withdraw(self, canary: Canary) -> None:
        """Serve nobody from a canary any more, whatever the source says."""
        self._withdrawn = canary
        self._serve(None)

    async def _load(self, canary: Canary, *, beside_requests: bool) -> None:
        if self._loader.is_refused(canary.version):
            return
        try:
            self._loaded = await self._loader.load(canary.version, beside_requests=beside_requests)
        except (SourceUnavailable, NotLoaded) as error:
            self._note(f"its users get the live model, the canary is not served: {error}")
            return
        self._serve(canary)
        self._note(None)
        _logger.info(
            "serving canary %s to %.1f %% of the users",
            canary.version,
            100 * canary.share,
            extra={"seconds": self._loaded.seconds},
        )

    def _serve(self, canary: Canary | None) -> None:
        if canary is None or self._loaded is None:
            self.served = None
        elif self.served is not None and canary.is_same(self.served.record):
            self.served = replace(self.served, record=canary)  # its share may have changed
        else:
            model = Served.of(self._loaded.snapshot, "challenger", self._metrics)
            self.served = ServedCanary(record=canary, model=model)
        self._metrics.trying(None if self.served is None else self.served.record)

    def _note(self, trouble: str | None) -> None:
        self.trouble = _noted(trouble, self.trouble)


class ModelFollower:
    """Asks what is wanted and has it served; requests capture what it serves."""

    def __init__(
        self,
        source: ModelSource,
        metrics: Metrics,
        *,
        namespace: str,
        poll_seconds: float,
        retrieval: Retrieval,
    ) -> None:
        live, canary = (
            VersionLoader(source, metrics, poll_seconds=poll_seconds, retrieval=retrieval)
            for _ in range(2)
        )
        self.live = LiveFollower(source, live, metrics, namespace)
        self.canary = CanaryFollower(canary, metrics)
        self._source = source
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._failures = 0
        """Of the source, in a row."""

    @property
    def models(self) -> Models | None:
        """What is served now; None before the first model is loaded."""
        live = self.live.served
        return None if live is None else Models(live=live, canary=self.canary.served)

    @property
    def snapshot(self) -> Snapshot | None:
        """The live model, if one is loaded."""
        return None if self.live.served is None else self.live.served.snapshot

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._step()
            except Exception as error:
                # A follower that has died looks like one with nothing to do; go on instead.
                _logger.exception("the live version could not be looked up")
                self._failures += 1
                self.live.note(f"the live version could not be looked up: {error!r}, retrying")
            await self._source.wait(self._pause_seconds())

    async def _step(self) -> None:
        try:
            wanted = await self._source.wanted()
        except SourceUnavailable as error:
            self._failures += 1
            self._metrics.source_up.set(0)
            self.live.note(f"{error}, retrying")
            await self.live.look_back()
            return
        except ArtifactError as error:
            self._answered()
            self.live.note(str(error))
            return
        self._answered()
        # First, so that a restarted replica is ready with both: nobody's variant changes by it.
        await self.canary.follow(wanted, beside_requests=self.live.served is not None)
        try:
            await self.live.follow(wanted.live, self.canary.loaded(wanted.live))
        except SourceUnavailable as error:
            self._failures += 1
            self.live.note(str(error))

    def _answered(self) -> None:
        self._failures = 0
        self._metrics.source_up.set(1)

    def _pause_seconds(self) -> float:
        if self._failures == 0:
            return jittered(self._poll_seconds)
        growing = FIRST_RETRY_SECONDS * 2 ** min(self._failures, 9)
        return jittered(min(growing, LONGEST_RETRY_SECONDS))


def _noted(trouble: str | None, before: str | None) -> str | None:
    """The trouble, logged if it is a new one."""
    if trouble is not None and trouble != before:
        _logger.warning(trouble)
    return trouble


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel a task that runs for ever, and wait for its end.

    Again until it ends: `asyncio.wait_for` before Python 3.12, which the Redis client uses, loses a
    cancellation that arrives together with its result.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
