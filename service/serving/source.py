"""Where models come from: a folder on disk, or the versions published to a namespace in Redis.

A `ModelSource` says which versions to serve and opens them. Of an opened model the items are in
memory; a `UserSource` reads its users one at a time.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
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
from model.artifact.stored import PER_USER
from service.schemas.errors import SourceUnavailable
from service.serving.cache import ModelCache
from service.store.store import RedisStore, Wanted
from service.store.users import Changing, DiskUsers, RedisUsers, UserSource

LONGEST_WAIT_SECONDS = 60.0
"""For the turn to load a model; a load takes a few seconds."""

_logger = logging.getLogger(__name__)


Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    """One model version whose checksums have been verified."""

    manifest: ArtifactManifest
    tensors: Arrays
    """Every tensor but those of `PER_USER`."""
    files: Mapping[str, bytes]
    users: UserSource
    folder: Path | None = None
    """Where it is on this machine; derived files may be put there too."""

    @classmethod
    def of(cls, artifact: Artifact) -> "OpenedModel":
        """A model whose users are read from the artifact's own arrays."""
        return cls(
            manifest=artifact.manifest,
            tensors={n: a for n, a in artifact.tensors.items() if n not in PER_USER},
            files=artifact.files,
            users=DiskUsers(artifact.tensors),
        )


Kept = tuple[OpenedModel, Arrays]
"""What this machine served last, and its probe users as given to `ModelSource.remember`."""


class ModelSource:
    """A place where model versions appear. Unless overridden it keeps and announces nothing."""

    async def wanted(self) -> Wanted:
        """Which versions to serve; SourceUnavailable, ArtifactError."""
        raise NotImplementedError

    async def open(self, version: str) -> OpenedModel:
        """Read and verify one version; SourceUnavailable, ArtifactError."""
        raise NotImplementedError

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Held while a version is loaded beside requests: by one process of a machine at a time."""
        return nullcontext()

    async def last_good(self) -> Kept | None:
        """The version that this machine served last, if it has been kept."""
        return None

    async def remember(self, opened: OpenedModel, probe_users: Arrays) -> None:
        """Note that a version is being served."""

    async def forget(self, served: Collection[str]) -> None:
        """Drop copies of versions that have been rewritten, but for those that are served."""

    async def wait(self, seconds: float) -> None:
        """Return after `seconds`, or earlier if the live version may have changed."""
        await asyncio.sleep(seconds)


class DiskSource(ModelSource):
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

    async def open(self, version: str) -> OpenedModel:
        """Map the folder into memory and verify it."""
        artifact = await to_thread.run_sync(read_artifact, self._folder)
        if artifact.manifest.model_version != version:
            raise SourceUnavailable(f"{self._folder} changed while it was read")
        return OpenedModel.of(artifact)


class RedisSource(ModelSource):
    """The versions published to one namespace.

    Args:
        store: where they are.
        user_cache_size: users kept in memory, per version.
        changing: what changes while they are served.
        cache: versions kept on this machine; None: they are kept in memory only.
    """

    def __init__(
        self,
        store: RedisStore,
        user_cache_size: int,
        changing: Changing,
        cache: ModelCache | None = None,
    ) -> None:
        self._store = store
        self._user_cache_size = user_cache_size
        self._cache = cache
        self._changing = changing

    async def wanted(self) -> Wanted:
        """The live version and the canary, as Redis names them."""
        return await self._store.wanted()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Take turns with the processes that share the cache's folder.

        After a minute this one goes on without its turn, since another process may hang.
        """
        async with AsyncExitStack() as held:
            if self._cache is not None:
                with suppress(TimeoutError, OSError):
                    async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                        await held.enter_async_context(self._cache.load_lock())
            yield

    async def open(self, version: str) -> OpenedModel:
        """Fetch the items and the graphs; of the users' rows, only check that they are there.

        What changes while they are served is read first.
        """
        await self._changing.look()
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
        """What this machine served last; its users are read from Redis, as soon as it is back.

        It is not served by a machine that does not know what is hidden.
        """
        if self._cache is None:
            return None
        kept = await to_thread.run_sync(self._cache.last_good)
        if kept is None:
            return None
        if not await self._changing.look_back():
            _logger.warning("the model kept on disk is not served: what is hidden is not known")
            return None
        artifact, probe_users = kept
        folder = self._cache.folder(artifact.manifest.model_version)
        return self._opened(artifact, folder), probe_users

    async def remember(self, opened: OpenedModel, probe_users: Arrays) -> None:
        """Note on disk what is being served; a failure is only logged."""
        if self._cache is None or opened.folder is None:
            return
        version = opened.manifest.model_version
        try:
            await to_thread.run_sync(self._cache.remember, version, probe_users)
        except OSError as error:
            _logger.warning("what is served could not be noted on disk: %s", error)

    async def forget(self, served: Collection[str]) -> None:
        """Drop copies on disk that are not what Redis has; SourceUnavailable.

        Those that are served are replaced when they are loaded again.
        """
        if self._cache is None:
            return
        for version in await to_thread.run_sync(self._cache.kept):
            if version not in served:
                try:
                    stored = await self._store.manifest(version)
                except ArtifactError:
                    stored = None
                kept = await to_thread.run_sync(self._cache.manifest, version)
                if stored is None or kept != stored:
                    await to_thread.run_sync(self._cache.remove, version)

    async def wait(self, seconds: float) -> None:
        """Sleep until a publish is announced, at most `seconds`."""
        await self._store.wait_for_event(seconds)

    async def _cached(self, cache: ModelCache, manifest: ArtifactManifest) -> Artifact:
        """The version from the cache; the first process to ask puts it there. OSError."""
        version = manifest.model_version
        async with cache.write_lock(version):
            model = await to_thread.run_sync(cache.read, version)
            if model is not None and model.manifest == manifest:
                return model
            with cache.writing(manifest) as folder:
                async for name, array in self._tensors(manifest):
                    await to_thread.run_sync(np.save, folder / f"{name}.npy", array)
                async for name, data in self._files(manifest):
                    (folder / name).write_bytes(data)
            model = await to_thread.run_sync(cache.read, version)
        if model is None:
            raise OSError("what was written could not be read again")
        return model

    def _opened(self, artifact: Artifact, folder: Path | None = None) -> OpenedModel:
        manifest, tensors = artifact.manifest, artifact.tensors
        users = RedisUsers(
            self._store,
            manifest,
            tensors,
            changing=self._changing,
            cache_size=self._user_cache_size,
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
