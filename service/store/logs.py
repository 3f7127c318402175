"""What is followed by a log in Redis: a change costs its readers what changed.

A log is a stream of which the id of each entry begins with the revision of the change. All is
read, in pages, by a process that starts, and by one that does not find in the log what it read
last: after more than `LOGGED` changes, or with a server that has lost some.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from service.ops.process import stop
from service.schemas.errors import SourceUnavailable
from service.store.foreign import REMEDY
from service.store.store import RedisStore

READ_SECONDS = 1.0
"""So long a request waits while much is read; then it is answered as last known, with a warning."""
LOGGED = 300_000
"""Changes that a log holds, about: some 12 MB of Redis with ids of 10 bytes."""
PAGE = 1_000
"""Members of one page: 2 ms of the event loop."""
PAUSE_SECONDS = 0.002
_CHANGES_AT_ONCE = 1_000
_logger = logging.getLogger(__name__)


class LogEntry(NamedTuple):
    """One change."""

    revision: int
    what: bytes
    """What was done."""
    id: bytes
    """With what."""


class LogFollower(ABC):
    """Something as last read; one per process, for all model versions.

    Args:
        store: where it is.
        revision_key: of its counter (`model.registry.revisions`).
        log_key: of its log.
    """

    what: ClassVar[str]
    """For messages, in the plural."""
    behind: ClassVar[str]
    """What to say while much is read."""

    def __init__(self, store: RedisStore, revision_key: str, log_key: str) -> None:
        self._store = store
        self._log = revision_key, log_key
        self.trouble: str | None = None
        """Why more may have changed by now."""
        self._revision: int | None = None
        """None before all was read from Redis."""
        self._changing = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    async def follow(self, revision: int | None, *, patient: bool = False) -> None:
        """Take in what has changed up to a revision.

        Args:
            revision: as Redis has it now; None: what stands there is none.
            patient: wait for as long as it takes to read all.

        Raises:
            SourceUnavailable: Redis does not answer, or all is still being read.
        """
        if revision == self._revision:
            self._note(None)
            return
        if revision is None:
            self._note(f"{self._log[0]} is no whole number; {REMEDY}")
            raise SourceUnavailable(f"{self.what} are not followed: {self.trouble}")
        if revision == 0 and self._stays():
            return
        try:
            async with asyncio.timeout(None if patient else READ_SECONDS):
                await self._follow_once()
                if self._revision != revision:
                    await self._follow_once()  # what was running had begun before the change
        except TimeoutError:
            self._note(self.behind)
            raise SourceUnavailable(self.behind) from None

    async def close(self) -> None:
        """Read no longer."""
        if self._following is not None:
            await stop(self._following)

    @abstractmethod
    def _stays(self) -> bool:
        """Whether what is known stays so with a server that has no revision, which lost it."""

    @abstractmethod
    async def _take_in(self, known: int, entries: Sequence[LogEntry]) -> None:
        """Take in the changes that follow a revision; `_changing` is held."""

    @abstractmethod
    async def _read(self) -> None:
        """Read all, then follow the log from the revision that it had before."""

    async def _catch_up(self, known: int) -> bool:
        """Follow the log; whether it led from one revision to the present one."""
        while True:
            latest, entries = await self._store.log_from(self._log, known, 1 + _CHANGES_AT_ONCE)
            if latest == known:
                self._note(None)
                return True
            if len(entries) < 2 or entries[0][0] != known:
                return False
            await self._take_in(known, [LogEntry(*each) for each in entries[1:]])
            self._revision = known = entries[-1][0]

    async def _follow_once(self) -> None:
        """Wait for what is being read, which goes on when nobody waits any longer."""
        if self._following is None:
            self._following = asyncio.create_task(self._follow())
            self._following.add_done_callback(self._followed)
        await asyncio.shield(self._following)

    async def _follow(self) -> None:
        if self._revision is not None:
            async with self._changing:
                if await self._catch_up(self._revision):
                    return
        await self._read()

    def _followed(self, task: asyncio.Task[None]) -> None:
        self._following = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._note(f"{self.what} could not be read: {error}")

    def _note(self, trouble: str | None) -> None:
        """Say why more may have changed by now; None: for no reason."""
        if trouble is not None and trouble != self.trouble:
            _logger.warning(trouble)
        self.trouble = trouble
