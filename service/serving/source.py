"""Where models come from: a folder on disk, or the versions published to a namespace in Redis.

A `ModelSource` says which versions to serve and opens them. An opened model keeps the items in
memory and a `UserSource` that reads one user at a time.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from anyio import to_thread
from numpy.typing import NDArray

from model.artifact.files import (
    MANIFEST,
    Artifact,
    ArtifactError,
    check_file,
    check_tensor,
    parse_manifest,
    read_artifact,
)
from model.artifact.manifest import ArtifactManifest
from service.schemas.errors import SourceUnavailable
from service.serving.cache import ModelCache
from service.store.availability import HiddenItems
from service.store.store import RedisStore, Wanted
from service.store.users import PER_USER, DiskUsers, RedisUsers, UserSource

LONGEST_WAIT_SECONDS = 60.0
"""For the turn to load a model; a load takes a few seconds."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    """One model version whose checksums have been verified."""

    manifest: ArtifactManifest
    tensors: Mapping[str, NDArray[Any]]
    """Every tensor but those of `PER_USER`."""
    files: Mapping[str, bytes]
    users: UserSource
    folder: Path | None = None
    """Where it is on this machine; derived files may be put there too."""


Arrays = Mapping[str, NDArray[Any]]
Kept = tuple[OpenedModel, Arrays]
"""What this machine served last, and the probe users as given to `ModelSource.remember`."""


class ModelSource(Protocol):
    """A place where model versions appear."""

    async def wanted(self) -> Wanted:
        """What to serve; SourceUnavailable, ArtifactError."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Held while a version is loaded beside requests, by one process of a machine at a time."""

    async def open(self, version: str) -> OpenedModel:
        """Read and verify one version; SourceUnavailable, ArtifactError."""

    async def last_good(self) -> Kept | None:
        """The version that this machine served last, if it has been kept."""

    async def remember(self, opened: OpenedModel, probe_users: Arrays) -> None:
        """Note that a version is being served."""

    async def wait(self, seconds: float) -> None:
        """Return after `seconds`, or earlier if the live version may have changed."""

    async def close(self) -> None:
        """Let go of every connection."""


class DiskSource:
    """An artifact folder. To change it under a running service, rename a new folder into place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def wanted(self) -> Wanted:
        """The version in the folder."""
        return Wanted(live=await to_thread.run_sync(self._version))

    def _version(self) -> str:
        path = self._folder / MANIFEST
        if not path.is_file():
            raise ArtifactError(
                f"{self._folder} has no {MANIFEST}: put an artifact there, "
                "or point MAGNET_ARTIFACT_DIR to one"
            )
        try:
            text = path.read_bytes()
        except OSError as error:
            raise SourceUnavailable(f"{path} cannot be read: {error.strerror}") from error
        return parse_manifest(text, str(path)).model_version

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Nothing to wait for: other processes are not known."""
        return nullcontext()

    async def open(self, version: str) -> OpenedModel:
        """Map the folder into memory and verify it."""
        artifact = await to_thread.run_sync(read_artifact, self._folder)
        if artifact.manifest.model_version != version:
            raise SourceUnavailable(f"{self._folder} changed while it was read")
        return OpenedModel(
            manifest=artifact.manifest,
            tensors={n: a for n, a in artifact.tensors.items() if n not in PER_USER},
            files=artifact.files,
            users=DiskUsers(artifact.tensors),
        )

    async def last_good(self) -> Kept | None:
        """None: if the folder cannot be read there is nothing else."""
        return None

    async def remember(self, opened: OpenedModel, probe_users: Arrays) -> None:
        """Nothing: the folder stays where it is."""

    async def wait(self, seconds: float) -> None:
        """Sleep: a folder announces nothing."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Nothing is held: the maps go with the models that use them."""


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
        """What the live pointer and the canary's record say."""
        return await self._store.wanted()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The processes that share a folder for models load beside requests one after the other.

        Whoever has waited long goes on without, as another process may hang.
        """
        async with AsyncExitStack() as held:
            if self._cache is not None:
                with suppress(TimeoutError, OSError):
                    async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                        await held.enter_async_context(self._cache.load_lock())
            yield

    async def open(self, version: str) -> OpenedModel:
        """Fetch the items and the graphs; of the users' rows, only check that they are there."""
        manifest = await self._store.manifest(version)
        await self._store.check_present(manifest, PER_USER)
        if self._cache is not None:
            try:
                artifact = await self._cached(self._cache, manifest)
                return self._opened(artifact, self._cache.folder(version))
            except OSError as error:
                _logger.warning("model %s is not kept on disk: %s", version, error)
        tensors = {name: array async for name, array in self._tensors(manifest)}
        files = {name: data async for name, data in self._files(manifest)}
        return self._opened(Artifact(manifest=manifest, tensors=tensors, files=files))

    async def last_good(self) -> Kept | None:
        """What this machine served last; its users are read from Redis, as soon as it is back."""
        if self._cache is None:
            return None
        kept = await to_thread.run_sync(self._cache.last_good)
        if kept is None:
            return None
        artifact, probe_users = kept
        folder = self._cache.folder(artifact.manifest.model_version)
        return self._opened(artifact, folder), probe_users

    async def remember(self, opened: OpenedModel, probe_users: Arrays) -> None:
        """Note on disk what is being served; a failure is only logged."""
        if self._cache is None or opened.folder is None:
            return
        note = partial(self._cache.remember, opened.manifest.model_version, probe_users)
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

    async def _cached(self, cache: ModelCache, manifest: ArtifactManifest) -> Artifact:
        """The version from the cache; whoever comes first puts it there. OSError."""
        version = manifest.model_version
        async with cache.write_lock(version):
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

    def _opened(self, artifact: Artifact, folder: Path | None = None) -> OpenedModel:
        manifest, tensors = artifact.manifest, artifact.tensors
        users = RedisUsers(
            self._store, manifest, tensors, hidden=self._hidden, cache_size=self._user_cache_size
        )
        return OpenedModel(
            manifest=manifest, tensors=tensors, files=artifact.files, users=users, folder=folder
        )

    async def _tensors(self, manifest: ArtifactManifest) -> AsyncIterator[tuple[str, NDArray[Any]]]:
        """Every tensor but the users' rows, verified, one at a time."""
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
