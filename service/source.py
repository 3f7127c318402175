"""Where a model comes from: Redis, or a folder on disk.

A `ModelSource` says which version is live and opens it; an opened model keeps the items in memory
and a `UserSource` that reads one user at a time. Knows nothing about scoring.

Letters: V views, M modalities, D dimension, N items seen, H history length.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
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
from model.contract.layout import RowLayout
from model.contract.manifest import ArtifactManifest
from service.errors import SourceUnavailable
from service.store import RedisStore, RowSpan

PER_USER = ("user_embeddings", "seen_items")
"""Arrays of which a request reads one user's part; with millions of users they stay outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """What the model knows of one user."""

    vector_VMD: NDArray[np.float32]
    """All zero for a user without a usable history."""
    seen_N: NDArray[np.int32]
    """Rows of all items that she has interacted with."""
    history_H: NDArray[np.int32]
    """Those of them that make her vector, oldest first."""


class UserSource(Protocol):
    """Reads users of one model version."""

    async def user(self, row: int) -> UserRecord:
        """The user at `row`; SourceUnavailable if she cannot be read now."""


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


class DiskUsers:
    """Users out of memory-mapped arrays."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        self._vectors_UVMD = tensors["user_embeddings"]
        self._seen = tensors["seen_items"]
        self._offsets = tensors["seen_offsets"]
        self._history_lengths = tensors["history_lengths"]

    async def user(self, row: int) -> UserRecord:
        """The user at `row`; at worst a few pages are read from disk."""
        seen_N = np.array(self._seen[self._offsets[row] : self._offsets[row + 1]])
        return UserRecord(
            vector_VMD=np.array(self._vectors_UVMD[row]),
            seen_N=seen_N,
            history_H=seen_N[: self._history_lengths[row]],
        )


class RedisSource:
    """The versions published to one namespace."""

    def __init__(self, store: RedisStore, user_cache_size: int) -> None:
        self._store = store
        self._user_cache_size = user_cache_size

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
        users = RedisUsers(self._store, manifest, tensors, cache_size=self._user_cache_size)
        return OpenedModel(manifest=manifest, tensors=tensors, files=files, users=users)

    async def wait(self, seconds: float) -> None:
        """Sleep until a publish is announced, at most `seconds`."""
        await self._store.wait_for_event(seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._store.close()


class RedisUsers:
    """Users read row by row, the latest ones kept.

    A version never changes, so a kept user is never stale and Redis is not asked again.
    """

    def __init__(
        self,
        store: RedisStore,
        manifest: ArtifactManifest,
        tensors: Mapping[str, NDArray[Any]],
        *,
        cache_size: int,
    ) -> None:
        self._store = store
        self._version = manifest.model_version
        self._num_items = manifest.num_items
        vectors, seen = (manifest.tensors[name] for name in PER_USER)
        self._shape_VMD = vectors.shape[1:]
        self._vector_layout = RowLayout.of(vectors.shape, vectors.dtype, manifest.chunk_bytes)
        self._seen_layout = RowLayout.of(seen.shape, seen.dtype, manifest.chunk_bytes)
        self._seen_offsets = tensors["seen_offsets"]
        self._history_lengths = tensors["history_lengths"]
        self._cache: OrderedDict[int, UserRecord] = OrderedDict()
        self._cache_size = cache_size

    async def user(self, row: int) -> UserRecord:
        """The user at `row`, from memory or in one round trip."""
        if row in self._cache:
            self._cache.move_to_end(row)
            return self._cache[row]
        record = await self._read(row)
        self._cache[row] = record
        if len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return record

    async def _read(self, row: int) -> UserRecord:
        first, stop = (int(place) for place in self._seen_offsets[row : row + 2])
        vector, seen = await self._store.read_spans(
            self._version,
            RowSpan("user_embeddings", self._vector_layout, row, row + 1),
            RowSpan("seen_items", self._seen_layout, first, stop),
        )
        vector_VMD = np.frombuffer(vector, dtype="<f4").reshape(self._shape_VMD)
        seen_N = np.frombuffer(seen, dtype="<i4")
        # Single rows have no checksum; these are the two faults that would break an answer.
        seen_fit = ((seen_N >= 0) & (seen_N < self._num_items)).all()
        if not (np.isfinite(vector_VMD).all() and seen_fit):
            raise SourceUnavailable(f"the row of user {row} is damaged in {self._store.address}")
        history_H = seen_N[: self._history_lengths[row]]
        return UserRecord(vector_VMD=vector_VMD, seen_N=seen_N, history_H=history_H)
