"""Published models on this machine's disk: one copy for all workers, and one to restart from.

A version's folder appears whole or not at all, is checked against its manifest whenever it is
opened, and is mapped into memory, so that workers share it. Of the users it holds the probe users
alone. Every method blocks.
"""

import logging
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.files import (
    MANIFEST,
    Artifact,
    ArtifactError,
    check_file,
    check_tensor,
    parse_manifest,
)
from model.artifact.manifest import ArtifactManifest
from model.registry.keys import check_name

KEPT_VERSIONS = 3
"""The published one, the one before, and one that a rollback may ask for."""
_LAST_GOOD, _TURN = "last_good", ".turn.lock"
_PROBE_USERS = "trial_users.npz"
_POLL_SECONDS = 0.1
"""Between two attempts at a lock: what is waited for takes seconds."""

_logger = logging.getLogger(__name__)


class ModelCache:
    """The versions of one namespace that lie on this machine's disk.

    Args:
        root: a folder of ours alone; made if need be.
        namespace: whose versions.
        left_out: tensors that are not kept.
    """

    def __init__(self, root: Path, namespace: str, left_out: tuple[str, ...]) -> None:
        self._folder = root / check_name(namespace, "namespace")
        self._left_out = left_out

    def write_lock(self, version: str) -> AbstractAsyncContextManager[object]:
        """Held while this version is written; OSError."""
        return self._lock(f".{check_name(version, 'model version')}.lock")

    def load_lock(self) -> AbstractAsyncContextManager[object]:
        """Held while a version is loaded beside requests; OSError."""
        return self._lock(_TURN)

    def _lock(self, name: str) -> AbstractAsyncContextManager[object]:
        from filelock import AsyncFileLock  # noqa: PLC0415  # 2 % of a start; only a cache needs it

        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return AsyncFileLock(
            self._folder / name, poll_interval=_POLL_SECONDS, mode=0o600, run_in_executor=False
        )

    def folder(self, version: str) -> Path:
        """Where a version is or will be."""
        return self._folder / check_name(version, "model version")

    def read(self, version: str) -> Artifact | None:
        """A version without users, memory-mapped, every checksum verified; None if it is not here.

        A damaged one is removed.
        """
        folder = self.folder(version)
        if not (folder / MANIFEST).is_file():
            return None
        try:
            manifest = parse_manifest((folder / MANIFEST).read_bytes(), str(folder))
            tensors: dict[str, NDArray[Any]] = {}
            for name in manifest.tensors.keys() - set(self._left_out):
                tensors[name] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                check_tensor(name, tensors[name], manifest)
            files = {name: (folder / name).read_bytes() for name in manifest.files}
            for name, data in files.items():
                check_file(name, data, manifest)
        except (ArtifactError, OSError, ValueError) as error:
            _logger.warning("the cached model %s is removed: %s", version, error)
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return Artifact(manifest=manifest, tensors=tensors, files=files)

    def begin(self, version: str) -> "ModelWriter":
        """Start to write a version; hold its lock meanwhile. OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for torn in self._folder.glob(f".{version}-*"):
            shutil.rmtree(torn, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=self._folder))
        return ModelWriter(staging, self._folder / version)

    def last_good(self) -> tuple[Artifact, dict[str, NDArray[Any]]] | None:
        """The version that was last served, and its probe users."""
        try:
            version = (self._folder / _LAST_GOOD).read_text().strip()
            model = self.read(version)
            if model is None:
                return None
            with np.load(self.folder(version) / _PROBE_USERS, allow_pickle=False) as probe_users:
                return model, dict(probe_users)
        except (OSError, ValueError):
            return None

    def remember(self, version: str, probe_users: Mapping[str, NDArray[Any]]) -> None:
        """Note that a version is being served, and its probe users; drop old versions. OSError."""
        folder = self._folder / version
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-", delete=False) as users:
            np.savez(users, allow_pickle=False, **probe_users)
        Path(users.name).replace(folder / _PROBE_USERS)
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".good-", delete=False) as good:
            good.write(version.encode())
        Path(good.name).replace(self._folder / _LAST_GOOD)
        self._prune(version)

    def _prune(self, version: str) -> None:
        """Drop all but the latest versions; one that is still mapped stays readable there."""
        folders = [path for path in self._folder.iterdir() if (path / MANIFEST).is_file()]
        others = sorted(
            (path for path in folders if path.name != version),
            key=lambda path: path.stat().st_mtime,
            reverse=True,
        )
        for path in others[KEPT_VERSIONS - 1 :]:
            shutil.rmtree(path, ignore_errors=True)
            (self._folder / f".{path.name}.lock").unlink(missing_ok=True)


class ModelWriter:
    """A version that is being written; it appears with `finish`."""

    def __init__(self, staging: Path, target: Path) -> None:
        self._staging = staging
        self._target = target

    def add_tensor(self, name: str, array: NDArray[Any]) -> None:
        """OSError, as on a full disk."""
        np.save(self._staging / f"{name}.npy", array, allow_pickle=False)

    def add_file(self, name: str, data: bytes) -> None:
        """OSError, as on a full disk."""
        (self._staging / name).write_bytes(data)

    def finish(self, manifest: ArtifactManifest) -> None:
        """Make it appear; OSError."""
        (self._staging / MANIFEST).write_text(manifest.model_dump_json())
        shutil.rmtree(self._target, ignore_errors=True)
        self._staging.rename(self._target)

    def abandon(self) -> None:
        """Leave nothing behind; without effect once finished."""
        shutil.rmtree(self._staging, ignore_errors=True)
