"""Follows what a namespace wants to be served: the live version, and the canary if there is one.

`ModelFollower` asks the source what is wanted, for as long as the process lives. `LiveFollower` and
`CanaryFollower` each load one version through a `VersionLoader`, and keep what they have when that
fails. None of the followers ends by an error; what stands in the way is a sentence in `trouble`.
"""

import asyncio
import logging
import random
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from anyio import to_thread

from model.artifact.files import ArtifactError, let_go
from model.registry.canary import Canary
from model.runtime.artifact import GoldenMismatch
from service.ops.metrics import Metrics
from service.ops.process import in_background
from service.schemas.errors import SourceUnavailable
from service.serving.growth import GrowingModel
from service.serving.served import Models, Served, ServedCanary
from service.serving.snapshot import (
    ProbeUsers,
    Search,
    Snapshot,
    build_snapshot,
    read_probe_users,
)
from service.serving.source import Kept, ModelSource, OpenedModel
from service.store.items import ItemStore
from service.store.store import Wanted

FIRST_RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 5.0
"""While the source does not answer: soon at first, then rarely enough to leave it alone."""
LONGEST_RELOAD_SECONDS = 300.0
"""A version that was refused is large; it is read again only after a growing pause."""

Origin = Literal["store", "disk"]
"""Where the live model was loaded from: the store (Redis or the artifact folder), or this machine's
copy of the model that it served last."""

BEGINNING = "the first model is being looked for"
"""What stands in the way before anything has been looked at."""

_logger = logging.getLogger(__name__)
_dice = random.Random()
"""Our own: a draw from the global generator would disturb whoever has seeded it."""


def _jittered(seconds: float) -> float:
    """Spread over +-20 %, so that replicas do not ask in step."""
    return seconds * _dice.uniform(0.8, 1.2)


class NotLoaded(Exception):
    """A version is damaged or computes something else; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model and its items, and what it was made of."""

    growing: GrowingModel
    opened: OpenedModel
    probe_users: ProbeUsers
    seconds: float
    """How long it took to load."""

    @property
    def snapshot(self) -> Snapshot:
        """The model as it is now."""
        return self.growing.snapshot


class VersionLoader:
    """Loads the versions of one role, one at a time. A refused one is left alone for a while."""

    def __init__(
        self,
        source: ModelSource,
        metrics: Metrics,
        *,
        items: ItemStore | None,
        poll_seconds: float,
        search: Search,
    ) -> None:
        self._items = items
        self._source = source
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._search = search
        self._refused = ""
        self._attempts = 0
        self._retry_at = 0.0
        self._finishing: asyncio.Task[None] | None = None
        """Of the latest one; kept, for the event loop does not keep it."""

    def is_refused(self, version: str) -> bool:
        """Whether a version could not be loaded a short while ago."""
        return version == self._refused and time.monotonic() < self._retry_at

    async def load(self, version: str, *, beside_requests: bool) -> Loaded:
        """Fetch, verify and warm up a version.

        Args:
            version: which one.
            beside_requests: whether requests are being answered. Loading must not slow them: it
                takes turns with the processes of this machine, and runs with low priority.

        Raises:
            NotLoaded: it is not usable.
            SourceUnavailable: the source does not answer.
        """
        started = time.perf_counter()
        try:
            async with self._source.turn() if beside_requests else nullcontext():
                opened = await self._source.open(version)
                users = await read_probe_users(opened)
                build = partial(build_snapshot, opened, users, self._search)
                run = in_background if beside_requests else to_thread.run_sync
                built = await run(build)
                growing = GrowingModel(built, opened, beside_requests=beside_requests)
                await self._take_in(growing)
                await growing.prepare()
        except SourceUnavailable as error:
            self._metrics.loads.labels("failure", "unreachable").inc()
            raise SourceUnavailable(
                f"model version {version} could not be read: {error}"
            ) from error
        except GoldenMismatch as error:
            raise self._refuse(version, "golden", f"is refused: {error}") from error
        except ArtifactError as error:
            raise self._refuse(version, "damaged", f"is damaged: {error}") from error
        except Exception as error:
            # Whatever a file can provoke must not end the loop that could load the next one.
            _logger.exception("model version %s could not be loaded", version)
            raise self._refuse(version, "failed", f"could not be loaded: {error!r}") from error
        self._refused, self._attempts = "", 0
        if (shards := self._search.shards) is not None:  # not in its turn: they may wait for that
            await shards.wait_for_others(version)
        return self._loaded(opened, users, growing, started)

    async def _take_in(self, growing: GrowingModel) -> None:
        """Serve it with the items that have been put so far."""
        if self._items is not None:
            await growing.follow(self._items)

    async def load_kept(self, kept: Kept) -> Loaded:
        """Load this machine's copy; raises whatever a damaged copy provokes."""
        started = time.perf_counter()
        opened, users = kept[0], ProbeUsers.of(kept[1])
        build = partial(build_snapshot, opened, users, self._search)
        growing = GrowingModel(await to_thread.run_sync(build), opened)
        if self._items is not None:
            await growing.look_back(self._items)
        await growing.prepare()
        return self._loaded(opened, users, growing, started)

    def _loaded(
        self, opened: OpenedModel, users: ProbeUsers, growing: GrowingModel, started: float
    ) -> Loaded:
        self._metrics.loads.labels("success", "").inc()
        let_go(opened.tensors)
        if (finish := growing.base.chosen.finish) is not None:

            def finish_and_let_go() -> None:
                finish()
                let_go(opened.tensors)

            self._finishing = asyncio.create_task(in_background(finish_and_let_go))
        seconds = round(time.perf_counter() - started, 3)
        return Loaded(growing=growing, opened=opened, probe_users=users, seconds=seconds)

    def _refuse(self, version: str, reason: str, what: str) -> NotLoaded:
        self._metrics.loads.labels("failure", reason).inc()
        self._attempts = self._attempts + 1 if version == self._refused else 1
        self._refused = version
        pause = self._poll_seconds * 2 ** min(self._attempts, 30)
        self._retry_at = time.monotonic() + _jittered(min(pause, LONGEST_RELOAD_SECONDS))
        return NotLoaded(f"model version {version} {what}")


class LiveFollower:
    """Serves the live version."""

    def __init__(
        self, source: ModelSource, loader: VersionLoader, metrics: Metrics, namespace: str
    ) -> None:
        self.served: Served | None = None
        self.origin: Origin = "store"
        self.trouble: str | None = BEGINNING
        self._source = source
        self._loader = loader
        self._metrics = metrics
        self._namespace = namespace
        self._looked_back = False
        self.stale = False
        """What is served has been rewritten since, and is to be loaded again."""
        self.growing: GrowingModel | None = None
        """What is served, and grows."""

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
        elif self.served is not None and self.served.snapshot.version == version and not self.stale:
            self.note(None)
        elif not self._loader.is_refused(version):
            beside_requests = self.served is not None
            try:
                loaded = None if self.stale else loaded
                loaded = loaded or await self._loader.load(version, beside_requests=beside_requests)
            except NotLoaded as error:
                self.note(str(error))
                return
            self._serve(loaded, "store")
            self.stale = False
            self.note(None)
            await self._source.remember(loaded.opened, loaded.probe_users.arrays())

    async def follow_items(self, items: ItemStore) -> bool:
        """Serve the model with some that have been put since; whether there were any.

        Raises:
            SourceUnavailable: Redis does not answer.
        """
        growing = self.growing
        if growing is None:
            return False
        are_more = await growing.follow(items)
        if growing is self.growing and self.served is not None:  # it may be the canary's too
            self.served = _grown(self.served, growing)
        return are_more

    async def look_back(self) -> None:
        """Serve what this machine served last, if nothing is served yet; tried once."""
        if self.served is not None or self._looked_back:
            return
        self._looked_back = True
        try:
            kept = await self._source.last_good()
            if kept is not None:
                self._serve(await self._loader.load_kept(kept), "disk")
        except Exception:
            # As in loading: a damaged copy must not keep the store's from being loaded.
            _logger.exception("the model kept on disk cannot be used")

    def note(self, trouble: str | None) -> None:
        """Say what stands in the way of the live version; None: nothing."""
        self.trouble = _noted(trouble, self.trouble)

    def _serve(self, loaded: Loaded, origin: Origin) -> None:
        snapshot = loaded.snapshot
        self.growing = loaded.growing
        self.served = Served.of(snapshot, "champion", self._metrics)
        self.origin = origin
        self._metrics.serving(snapshot.version, snapshot.created_at)
        self._metrics.retrieving(snapshot.chosen.retriever.name, snapshot.chosen.recall)
        _logger.info(
            "serving model version %s", snapshot.version, extra={"seconds": loaded.seconds}
        )


class CanaryFollower:
    """Serves the canary while one runs, unless it was withdrawn here."""

    def __init__(self, loader: VersionLoader, metrics: Metrics) -> None:
        self.latest: Canary | None = None
        """The latest canary, running or ended, as last read."""
        self.served: ServedCanary | None = None
        """None: everybody gets the live model."""
        self.stale = False
        """As that of `LiveFollower`."""
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
        elif self.loaded(canary.version) is not None and not self.stale:
            self._serve(canary)
        else:
            if self.loaded(canary.version) is None:
                self._loaded = None
                self._serve(None)
            if not self._loader.is_refused(canary.version):
                await self._load(canary, beside_requests=beside_requests)

    async def follow_items(self, items: ItemStore) -> bool:
        """As that of `LiveFollower`."""
        loaded = self._loaded
        if loaded is None:
            return False
        are_more = await loaded.growing.follow(items)
        if loaded is self._loaded and self.served is not None:
            self.served = replace(self.served, model=_grown(self.served.model, loaded.growing))
        return are_more

    def withdraw(self, canary: Canary) -> None:
        """Stop serving a canary, whatever the source says."""
        self._withdrawn = canary
        self._serve(None)

    async def _load(self, canary: Canary, *, beside_requests: bool) -> None:
        try:
            self._loaded = await self._loader.load(canary.version, beside_requests=beside_requests)
        except (SourceUnavailable, NotLoaded) as error:
            self._note(f"its users get the live model, the canary is not served: {error}")
            return
        if self.stale:  # the same canary, anew
            self.served, self.stale = None, False
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
    """Asks what is wanted and has it served; requests capture `models`."""

    def __init__(
        self,
        source: ModelSource,
        metrics: Metrics,
        *,
        namespace: str,
        poll_seconds: float,
        search: Search,
        items: ItemStore | None = None,
    ) -> None:
        """Follow a source; `items` has what was put since its models were made."""
        live, canary = (
            VersionLoader(
                source,
                metrics,
                items=items,
                poll_seconds=poll_seconds,
                search=search,
            )
            for _ in range(2)
        )
        self._items = items
        self.live = LiveFollower(source, live, metrics, namespace)
        self.canary = CanaryFollower(canary, metrics)
        self._source = source
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._failures = 0
        """Of the source, in a row."""
        self._rewrites: int | None = None
        """As last seen; None before the source has answered."""

    @property
    def models(self) -> Models | None:
        """What is served now; None before the first model is loaded."""
        live = self.live.served
        return None if live is None else Models(live=live, canary=self.canary.served)

    @property
    def snapshot(self) -> Snapshot | None:
        """The live model, if one is loaded."""
        return None if self.live.served is None else self.live.served.snapshot

    async def follow_items(self) -> None:
        """Serve both models with all items that have been put since; SourceUnavailable."""
        while await self.follow_some_items():
            pass

    async def follow_some_items(self) -> bool:
        """The same with the first of them, or with single ones; whether there were any."""
        if self._items is None:
            return False
        live = await self.live.follow_items(self._items)
        return await self.canary.follow_items(self._items) or live

    @property
    def growing(self) -> GrowingModel | None:
        """The live model, if one is loaded."""
        return self.live.growing

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._step()
            except Exception as error:
                # A follower that has died looks like one with nothing to do; go on instead.
                _logger.exception("the live version could not be looked up")
                self._fail(f"the live version could not be looked up: {error!r}, retrying")
            pause = self._poll_seconds
            if self._failures:
                growing = FIRST_RETRY_SECONDS * 2 ** min(self._failures, 9)
                pause = min(growing, LONGEST_RETRY_SECONDS)
            await self._source.wait(_jittered(pause))

    async def _step(self) -> None:
        try:
            wanted = await self._source.wanted()
        except SourceUnavailable as error:
            self._metrics.source_up.set(0)
            self._fail(f"{error}, retrying")
            await self.live.look_back()
            return
        except ArtifactError as error:
            self._answered()
            self.live.note(str(error))
            return
        self._answered()
        await self._follow_rewrites(wanted)
        # The canary first: a restarted replica is ready with both, and no user changes variant.
        await self.canary.follow(wanted, beside_requests=self.live.served is not None)
        try:
            await self.live.follow(wanted.live, self.canary.loaded(wanted.live))
        except SourceUnavailable as error:
            self._fail(str(error))

    async def _follow_rewrites(self, wanted: Wanted) -> None:
        """Have no copy of versions as they were before users were taken out of them."""
        if wanted.rewrites == self._rewrites:
            return
        if self._rewrites is not None or wanted.rewrites:
            self.live.stale = self.live.served is not None
            self.canary.stale = self.canary.served is not None
        canary = None if wanted.canary is None else wanted.canary.version
        with suppress(SourceUnavailable):
            await self._source.forget([x for x in (wanted.live, canary) if x is not None])
            self._rewrites = wanted.rewrites

    def _answered(self) -> None:
        self._failures = 0
        self._metrics.source_up.set(1)

    def _fail(self, trouble: str) -> None:
        self._failures += 1
        self.live.note(trouble)


def _grown(served: Served, growing: GrowingModel) -> Served:
    """What is served, with all that its model has taken in, whoever had it do so."""
    if served.snapshot is growing.snapshot:
        return served
    return replace(served, snapshot=growing.snapshot)


def _noted(trouble: str | None, before: str | None) -> str | None:
    """The trouble, logged if it is a new one."""
    if trouble is not None and trouble != before:
        _logger.warning(trouble)
    return trouble
