"""Where a model comes from, and one of the places: a folder on disk (`redis_source` is the other).

A `ModelSource` says which versions to serve and opens them; an opened model keeps the items in
memory and a `UserSource` that reads one user at a time. Knows nothing about scoring.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from anyio import to_thread
from numpy.typing import NDArray

from model.contract.artifact import (
    MANIFEST,
    ArtifactError,
    parse_manifest,
    read_artifact,
)
from model.contract.manifest import ArtifactManifest
from service.errors import SourceUnavailable
from service.store import Wanted
from service.users import PER_USER, DiskUsers, UserSource


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    """One model version whose checksums have been verified."""

    manifest: ArtifactManifest
    tensors: Mapping[str, NDArray[Any]]
    """Every tensor but those of `PER_USER`."""
    files: Mapping[str, bytes]
    users: UserSource
    folder: Path | None = None
    """Where it lies on this machine, and what is derived from it may lie too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastGood:
    """What this machine served last, for when the source is away."""

    opened: OpenedModel
    trial_users: Mapping[str, NDArray[Any]]
    """As given to `ModelSource.remember`."""


class ModelSource(Protocol):
    """A place where model versions appear."""

    async def wanted(self) -> Wanted:
        """What to serve; SourceUnavailable, ArtifactError."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """To be held while a version is loaded beside requests: one process of a machine has it."""

    async def open(self, version: str) -> OpenedModel:
        """Read and verify one version; SourceUnavailable, ArtifactError."""

    async def last_good(self) -> LastGood | None:
        """The version that this machine served last, if it has been kept."""

    async def remember(self, opened: OpenedModel, trial_users: Mapping[str, NDArray[Any]]) -> None:
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
        """Nobody else is known."""
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

    async def last_good(self) -> LastGood | None:
        """None: if the folder cannot be read there is nothing else."""
        return None

    async def remember(self, opened: OpenedModel, trial_users: Mapping[str, NDArray[Any]]) -> None:
        """Nothing: the folder stays where it is."""

    async def wait(self, seconds: float) -> None:
        """Sleep: a folder announces nothing."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Nothing is held: the maps go with the models that use them."""
