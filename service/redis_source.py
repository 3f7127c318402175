"""The models published to one namespace, read from Redis or from this machine's copy of them.

Knows the order in which a version is fetched; knows nothing about scoring.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

from anyio import to_thread
from numpy.typing import NDArray

from model.contract.artifact import check_file, check_tensor
from model.contract.manifest import ArtifactManifest
from service.file_lock import locked_async
from service.hidden import HiddenItems
from service.model_cache import CachedModel, ModelCache
from service.source import LastGood, OpenedModel
from service.store import RedisStore, Wanted
from service.users import PER_USER, RedisUsers

LONGEST_WAIT_SECONDS = 60.0
"""For the turn to load a model; a load takes a few seconds."""

_logger = logging.getLogger(__name__)


class RedisSource:
    """The versions published to one namespace.

    Args:
        store: where they are.
        user_cache_size: users kept in memory, per version.
        cache: where versions are kept on this machine; None: they are kept in memory only.
    """

    def __init__(
        self, store: RedisStore, user_cache_size: int, cache: ModelCache | None = None
    ) -> None:
        self._store = store
        self._user_cache_size = user_cache_size
        self._cache = cache
        self._hidden = HiddenItems(store)

    async def wanted(self) -> Wanted:
        """What the pointer and the canary's record say."""
        return await self._store.wanted()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The processes that share a folder for models load beside requests one after the other.

        Whoever has waited long goes on without: another may hang, and this is but a courtesy.
        """
        async with AsyncExitStack() as held:
            if self._cache is not None:
                with suppress(TimeoutError, OSError):
                    async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                        await held.enter_async_context(locked_async(self._cache.turn_file()))
            yield

    async def open(self, version: str) -> OpenedModel:
        """Fetch the items and the graphs; of the users, only prove that they are there."""
        manifest = await self._store.manifest(version)
        for name in PER_USER:
            await self._store.check_present(manifest, name)
        if self._cache is not None:
            try:
                return self._opened_from(await self._cached(self._cache, manifest))
            except OSError as error:
                _logger.warning("model %s is not kept on disk: %s", version, error)
        tensors = {name: array async for name, array in self._tensors(manifest)}
        files = {name: data async for name, data in self._files(manifest)}
        users = self._users(manifest, tensors)
        return OpenedModel(manifest=manifest, tensors=tensors, files=files, users=users)

    async def last_good(self) -> LastGood | None:
        """What this machine served last; its users are read from Redis, as soon as it is back."""
        kept = None if self._cache is None else await to_thread.run_sync(self._cache.last_good)
        if kept is None:
            return None
        model, trial_users = kept
        return LastGood(opened=self._opened_from(model), trial_users=trial_users)

    async def remember(self, opened: OpenedModel, trial_users: Mapping[str, NDArray[Any]]) -> None:
        """Note on disk what is being served; a disk that cannot take it is only logged."""
        if self._cache is None or opened.folder is None:
            return
        note = partial(self._cache.remember, opened.manifest.model_version, trial_users)
        try:
            await to_thread.run_sync(note)
        except OSError as error:
            _logger.warning("what is served could not be noted on disk: %s", error)

    async def wait(self, seconds: float) -> None:
        """Sleep until a publish is announced, at most `seconds`."""
        await self._store.wait_for_event(seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._store.close()

    async def _cached(self, cache: ModelCache, manifest: ArtifactManifest) -> CachedModel:
        """The version out of the cache; whoever comes first puts it there. OSError."""
        version = manifest.model_version
        async with locked_async(cache.lock_file(version)):
            model = await to_thread.run_sync(cache.read, version)
            if model is not None and model.manifest == manifest:
                return model
            writer = cache.begin(version)
            try:
                async for name, array in self._tensors(manifest):
                    await to_thread.run_sync(writer.add_tensor, name, array)
                async for name, data in self._files(manifest):
                    writer.add_file(name, data)
                writer.finish(manifest)
            finally:
                writer.abandon()
            model = await to_thread.run_sync(cache.read, version)
        if model is None:
            raise OSError("what was written could not be read again")
        return model

    def _opened_from(self, model: CachedModel) -> OpenedModel:
        return OpenedModel(
            manifest=model.manifest,
            tensors=model.tensors,
            files=model.files,
            users=self._users(model.manifest, model.tensors),
            folder=model.folder,
        )

    def _users(self, manifest: ArtifactManifest, tensors: Mapping[str, NDArray[Any]]) -> RedisUsers:
        return RedisUsers(
            self._store, manifest, tensors, hidden=self._hidden, cache_size=self._user_cache_size
        )

    async def _tensors(self, manifest: ArtifactManifest) -> AsyncIterator[tuple[str, NDArray[Any]]]:
        """Every tensor but the users', verified; one at a time is in memory."""
        for name in manifest.tensors:
            if name not in PER_USER:
                array = await self._store.tensor(manifest, name)
                await to_thread.run_sync(check_tensor, name, array, manifest)
                yield name, array

    async def _files(self, manifest: ArtifactManifest) -> AsyncIterator[tuple[str, bytes]]:
        for name in manifest.files:
            data = await self._store.file(manifest, name)
            check_file(name, data, manifest)
            yield name, data
