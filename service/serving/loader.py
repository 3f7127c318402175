"""Loads a version: fetched, proven and warmed up. One that was refused is left alone for a while."""

import logging
import random
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from anyio import to_thread

from model.artifact.files import ArtifactError
from model.runtime.artifact import GoldenMismatch
from service.ops.background import in_background
from service.ops.metrics import Metrics
from service.ops.settings import Retrieval
from service.schemas.errors import SourceUnavailable
from service.serving.snapshot import (
    ProbeUsers,
    Snapshot,
    build_snapshot,
    read_probe_users,
)
from service.serving.source import Kept, ModelSource, OpenedModel

LONGEST_RELOAD_SECONDS = 300.0
"""A version that was refused once is read again only after a growing pause; it is large."""

_logger = logging.getLogger(__name__)
_dice = random.Random()
"""Our own: a thread that draws from the global generator disturbs whoever has seeded it."""


def jittered(seconds: float) -> float:
    """Spread over +-20 %, so that replicas do not ask in step."""
    return seconds * _dice.uniform(0.8, 1.2)


class NotLoaded(Exception):
    """A version is damaged or computes something else; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A snapshot, and what it was made of."""

    snapshot: Snapshot
    opened: OpenedModel
    probe_users: ProbeUsers
    seconds: float
    """How long it took."""


class VersionLoader:
    """Loads the versions that are wanted in one role, one after the other."""

    def __init__(
        self, source: ModelSource, metrics: Metrics, *, poll_seconds: float, retrieval: Retrieval
    ) -> None:
        self._source = source
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._retrieval = retrieval
        self._refused = ""
        self._attempts = 0
        self._retry_at = 0.0

    def is_refused(self, version: str) -> bool:
        """Whether a version could not be loaded a short while ago."""
        return version == self._refused and time.monotonic() < self._retry_at

    async def load(self, version: str, *, beside_requests: bool) -> Loaded:
        """Load a version.

        Args:
            version: which one.
            beside_requests: whether requests are being answered, which must not be slowed: loading
                then waits for its turn among the processes of this machine, and yields to others.

        Raises:
            NotLoaded: it is not usable.
            SourceUnavailable: the source does not answer.
        """
        started = time.perf_counter()
        try:
            async with self._source.turn() if beside_requests else nullcontext():
                opened = await self._source.open(version)
                users = await read_probe_users(opened)
                build = partial(build_snapshot, opened, users, self._retrieval)
                run = in_background if beside_requests else to_thread.run_sync
                snapshot = await run(build)
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
        return self._loaded(opened, users, snapshot, started)

    async def load_kept(self, kept: Kept) -> Loaded:
        """Load what this machine has kept; raises whatever a damaged copy provokes."""
        started = time.perf_counter()
        opened, users = kept[0], ProbeUsers.of(kept[1])
        build = partial(build_snapshot, opened, users, self._retrieval)
        return self._loaded(opened, users, await to_thread.run_sync(build), started)

    def _loaded(
        self, opened: OpenedModel, users: ProbeUsers, snapshot: Snapshot, started: float
    ) -> Loaded:
        self._metrics.loads.labels("success", "").inc()
        seconds = round(time.perf_counter() - started, 3)
        return Loaded(snapshot=snapshot, opened=opened, probe_users=users, seconds=seconds)

    def _refuse(self, version: str, reason: str, what: str) -> NotLoaded:
        self._metrics.loads.labels("failure", reason).inc()
        self._attempts = self._attempts + 1 if version == self._refused else 1
        self._refused = version
        pause = self._poll_seconds * 2 ** min(self._attempts, 30)
        self._retry_at = time.monotonic() + jittered(min(pause, LONGEST_RELOAD_SECONDS))
        return NotLoaded(f"model version {version} {what}")
