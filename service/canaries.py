"""The canary of a namespace: begun and ended for all replicas, and its answers counted.

Knows keys and transactions; when there may be a canary is said by `model.contract.canary`. Knows
nothing about snapshots or HTTP.
"""

from datetime import UTC, datetime
from typing import Any

from model.contract.canary import Canary, CanaryRefused, Outcome, begin
from service.connection import transact
from service.errors import CanaryConflict
from service.store import RedisStore
from service.versions import PublishedVersions, name_of


class Canaries:
    """One namespace's. Every method raises SourceUnavailable."""

    def __init__(self, store: RedisStore, versions: PublishedVersions) -> None:
        self._store = store
        self._versions = versions

    async def count(self, version: str, answers: int) -> None:
        """Add to the answers of a canary."""
        client: Any = self._store.client
        with self._store.answering():
            await client.hincrby(self._store.keys.canary_answers, version, answers)

    async def start(self, version: str, share: float) -> None:
        """Let a version serve a share of the users; of the canary itself: change its share.

        Raises:
            UnknownVersion: it is not there, or not whole.
            CanaryConflict: it is live, nothing is, a version is pinned, or another canary runs.
        """
        keys = self._store.keys
        await self._versions.check_whole(version)

        async def change(pipe: Any) -> None:
            live, pinned = [name_of(await pipe.get(key)) for key in (keys.current, keys.pinned)]
            running = Canary.running_in(await pipe.get(keys.canary))
            await self._versions.check_listed(pipe, version)
            try:
                canary = begin(
                    version, share, datetime.now(UTC), live=live, pinned=pinned, running=running
                )
            except CanaryRefused as error:
                raise CanaryConflict(str(error)) from error
            pipe.multi()
            pipe.set(keys.canary, canary.model_dump_json())
            if running is None:
                pipe.delete(keys.canary_answers)
            # Spelt out: redis-py has no `publish` in a cluster's transaction.
            pipe.execute_command("PUBLISH", keys.events, version)

        with self._store.answering():
            await transact(
                self._store.client, change, keys.current, keys.pinned, keys.versions, keys.canary
            )

    async def end(self, outcome: Outcome, reason: str, only: Canary | None = None) -> bool:
        """End the running canary; whether one was running.

        Args:
            outcome: how.
            reason: why, for people.
            only: the canary that is meant; another one is left alone.
        """
        keys = self._store.keys
        ended = False

        async def change(pipe: Any) -> None:
            nonlocal ended
            running = Canary.running_in(await pipe.get(keys.canary))
            ended = running is not None and (only is None or running.is_same(only))
            pipe.multi()
            if running is not None and ended:
                over = running.ended(outcome, reason, datetime.now(UTC))
                pipe.set(keys.canary, over.model_dump_json())
                pipe.execute_command("PUBLISH", keys.events, running.version)

        with self._store.answering():
            await transact(self._store.client, change, keys.canary)
        return ended
