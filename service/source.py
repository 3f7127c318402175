"""Where a model comes from: Redis, or a folder on disk.

A `ModelSource` says which version is live and opens it; an opened model keeps the items in memory
and a `UserSource` that reads one user at a time. Knows nothing about scoring.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from anyio import to_thread
from numpy.typing import NDArray

from model.contract.artifact import (
    MANIFEST,
    ArtifactError,
    check_file,
    check_tensor,
    parse_manifest,
    read_artifact,
)
from model.contract.manifest import ArtifactManifest
from service.errors import SourceUnavailable
from service.hidden import HiddenItems
from service.store import RedisStore
from service.users import PER_USER, DiskUsers, RedisUsers, UserSource


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    """One model version whose checksums have been verified."""

    manifest: ArtifactManifest
    tensors: Mapping[str, NDArray[Any]]
    """Every tensor but those of `PER_USER`."""
    files: Mapping[str, bytes]
    users: UserSource


class ModelSource(Protocol):
    """A place where model versions appear."""

    async def live_version(self) -> str | None:
        """The version to serve, None if there is none yet; SourceUnavailable, ArtifactError."""

    async def open(self, version: str) -> OpenedModel:
        """Read and verify one version; SourceUnavailable, ArtifactError."""

    async def wait(self, seconds: float) -> None:
        """Return after `seconds`, or earlier if the live version may have changed."""

    async def close(self) -> None:
        """Let go of every connection."""


class DiskSource:
    """An artifact folder. To change it under a running service, rename a new folder into place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def live_version(self) -> str | None:
        """The version in the folder."""
        return await to_thread.run_sync(self._version)

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
        return OpenedModel(
            manifest=artifact.manifest,
            tensors={n: a for n, a in artifact.tensors.items() if n not in PER_USER},
            files=artifact.files,
            users=DiskUsers(artifact.tensors),
        )

    async def wait(self, seconds: float) -> None:
        """Sleep: a folder announces nothing."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Nothing is held: the maps go with the models that use them."""


class RedisSource:
    """The versions published to one namespace."""

    def __init__(self, store: RedisStore, user_cache_size: int) -> None:
        self._store = store
        self._user_cache_size = user_cache_size
        self._hidden = HiddenItems(store)

    async def live_version(self) -> str | None:
        """The version that the pointer names."""
        return await self._store.live_version()

    async def open(self, version: str) -> OpenedModel:
        """Fetch the items and the graphs; of the users, only prove that they are there."""
        manifest = await self._store.manifest(version)
        tensors: dict[str, NDArray[Any]] = {}
        for name in manifest.tensors:
            if name in PER_USER:
                await self._store.check_present(manifest, name)
            else:
                tensors[name] = await self._store.tensor(manifest, name)
                await to_thread.run_sync(check_tensor, name, tensors[name], manifest)
        files: dict[str, bytes] = {}
        for name in manifest.files:
            files[name] = await self._store.file(manifest, name)
            check_file(name, files[name], manifest)
        users = RedisUsers(
            self._store, manifest, tensors, hidden=self._hidden, cache_size=self._user_cache_size
        )
        return OpenedModel(manifest=manifest, tensors=tensors, files=files, users=users)

    async def wait(self, seconds: float) -> None:
        """Sleep until a publish is announced, at most `seconds`."""
        await self._store.wait_for_event(seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._store.close()
