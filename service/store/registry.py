"""The versions that a namespace holds; which one is live, and whether it is to stay so.

Knows keys and transactions; knows nothing about snapshots or HTTP.
"""

# FOLDED service/store/registry.py: The canary of a namespace: begun and ended for all replicas, and its answers counted.
#
#   Knows keys and transactions; when there may be a canary is said by `model.registry.canary`. Knows
#   nothing about snapshots or HTTP.
#

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from model.artifact.files import ArtifactError
from model.artifact.manifest import ArtifactManifest
from model.registry.canary import Canary, CanaryRefused, Outcome, begin
from model.registry.keys import check_name
from service.schemas.errors import CanaryConflict, UnknownVersion
from service.store.connection import transact
from service.store.store import RedisStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointers:
    """What the namespace points to."""

    live: str | None
    previous: str | None
    pinned: str | None
    canary: Canary | None
    """The latest, running or ended."""
    canary_answers: int
    """That it has given, over all replicas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedVersion:
    """One version that was published as complete and has not been retired."""

    version: str
    published_at: datetime
    manifest: ArtifactManifest | None
    """None if it is not usable."""


class PublishedVersions:
    """The versions of one namespace. Every method raises SourceUnavailable."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def pointers(self) -> Pointers:
        """What is live, was live before, is pinned, and is or was the canary."""
        keys = self._store.keys
        with self._store.answering():
            found: Any = await self._store.client.mget(
                keys.current, keys.previous, keys.pinned, keys.canary
            )
            *names, canary = found
            latest = Canary.parse(canary)
            answers: Any = 0
            if latest is not None:
                answers = await self._store.client.hget(keys.canary_answers, latest.version)
        live, previous, pinned = map(name_of, names)
        return Pointers(
            live=live,
            previous=previous,
            pinned=pinned,
            canary=latest,
            canary_answers=int(answers or 0),
        )

    async def all(self) -> list[PublishedVersion]:
        """Every version, newest first."""
        with self._store.answering():
            scored: Any = await self._store.client.zrange(
                self._store.keys.versions, 0, -1, desc=True, withscores=True
            )
        return [
            PublishedVersion(
                version=name.decode(),
                published_at=datetime.fromtimestamp(seconds, UTC),
                manifest=await self._manifest(name.decode()),
            )
            for name, seconds in scored
        ]

    async def activate(self, version: str, *, pin: bool) -> Pointers:
        """Make a version live, and keep it so whatever is published, or not any longer.

        A running canary ends with it: a share of the users was tried beside another version.

        Raises:
            UnknownVersion: it is not there, or not whole.
        """
        keys = self._store.keys
        await self.check_whole(version)

        async def flip(pipe: Any) -> None:
            before = name_of(await pipe.get(keys.current))
            canary = Canary.running_in(await pipe.get(keys.canary))
            if before != version:
                await self.check_listed(pipe, version)
            flips = before != version
            pipe.multi()
            if flips:
                if before is not None:
                    pipe.set(keys.previous, before)
                pipe.set(keys.current, version)
            if canary is not None and (flips or pin):
                over = canary.outrun(version, datetime.now(UTC), pinned=pin)
                pipe.set(keys.canary, over.model_dump_json())
            # Spelt out: redis-py has no `publish` in a cluster's transaction.
            pipe.execute_command("PUBLISH", keys.events, version)
            if pin:
                pipe.set(keys.pinned, version)
            else:
                pipe.delete(keys.pinned)

        with self._store.answering():
            await transact(
                self._store.client, flip, keys.current, keys.pinned, keys.versions, keys.canary
            )
        return await self.pointers()

    async def check_whole(self, version: str) -> None:
        """Raise UnknownVersion unless a version has its manifest."""
        try:
            key = self._store.keys.manifest(check_name(version, "model version"))
        except ValueError as error:
            raise UnknownVersion(str(error)) from error
        with self._store.answering():
            if not await self._store.client.exists(key):
                raise _unknown(version)

    async def check_listed(self, pipe: Any, version: str) -> None:
        """Raise UnknownVersion unless a version is listed, as a transaction sees it."""
        if await pipe.zscore(self._store.keys.versions, version) is None:
            raise _unknown(version)

    async def unpin(self) -> Pointers:
        """Let the next publish go live again."""
        with self._store.answering():
            await self._store.client.delete(self._store.keys.pinned)
        return await self.pointers()

    async def _manifest(self, version: str) -> ArtifactManifest | None:
        try:
            return await self._store.manifest(version)
        except ArtifactError:
            return None


def name_of(value: bytes | None) -> str | None:
    """The version that a key names."""
    return None if value is None else value.decode()


def _unknown(version: str) -> UnknownVersion:
    return UnknownVersion(f"version {version!r} is not published; GET /v1/models lists what is")


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
