"""The versions that a namespace holds; which one is live, and whether it is to stay so.

Knows keys and transactions; knows nothing about snapshots or HTTP.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from model.contract.artifact import ArtifactError
from model.contract.keys import check_name
from model.contract.manifest import ArtifactManifest
from service.errors import UnknownVersion
from service.store import RedisStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointers:
    """What the namespace points to."""

    live: str | None
    previous: str | None
    pinned: str | None


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
        """What is live, was live before, and is pinned."""
        keys = self._store.keys
        with self._store.answering():
            found: Any = await self._store.client.mget(keys.current, keys.previous, keys.pinned)
        live, previous, pinned = (None if name is None else name.decode() for name in found)
        return Pointers(live=live, previous=previous, pinned=pinned)

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

        Raises:
            UnknownVersion: it is not there, or not whole.
        """
        keys = self._store.keys
        try:
            manifest_key = keys.manifest(check_name(version, "model version"))
        except ValueError as error:
            raise UnknownVersion(str(error)) from error

        async def flip(pipe: Any) -> None:
            before = await pipe.get(keys.current)
            listed = await pipe.zscore(keys.versions, version) is not None
            if not (listed or before == version.encode()):
                raise _unknown(version)
            pipe.multi()
            if before != version.encode():
                if before is not None:
                    pipe.set(keys.previous, before)
                pipe.set(keys.current, version)
                # Spelt out: redis-py has no `publish` in a cluster's transaction.
                pipe.execute_command("PUBLISH", keys.events, version)
            if pin:
                pipe.set(keys.pinned, version)
            else:
                pipe.delete(keys.pinned)

        with self._store.answering():
            if not await self._store.client.exists(manifest_key):
                raise _unknown(version)
        client: Any = self._store.client
        with self._store.answering():
            await client.transaction(flip, keys.current, keys.pinned, keys.versions)
        return await self.pointers()

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


def _unknown(version: str) -> UnknownVersion:
    return UnknownVersion(f"version {version!r} is not published; GET /v1/models lists what is")
