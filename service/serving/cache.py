"""Published models on this machine's disk: one copy for all workers, also to restart from.

A version's folder appears whole or not at all. It is verified whenever it is opened, and mapped
into memory, so that workers share it. It holds the probe users only. Every method blocks.
"""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.files import (
    MANIFEST,
    Artifact,
    ArtifactError,
    check_file,
    check_tensors,
    parse_manifest,
)
from model.artifact.manifest import ArtifactManifest
from model.registry.keys import check_name

KEPT_VERSIONS = 3
"""The live one, the one before, and one more for a rollback."""
_LAST_GOOD = "last_good"
_PROBE_USERS = "trial_users.npz"
_POLL_SECONDS = 0.1
"""Between attempts at a lock; its holder takes seconds."""

_logger = logging.getLogger(__name__)


class ModelCache:
    """The versions of one namespace that are kept on this machine.

    Args:
        root: a folder for models only; made if it is missing.
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
        return self._lock(".turn.lock")

    def _lock(self, name: str) -> AbstractAsyncContextManager[object]:
        from filelock import AsyncFileLock  # noqa: PLC0415  # 2 % of a start; only a cache needs it

        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return AsyncFileLock(
            self._folder / name, poll_interval=_POLL_SECONDS, mode=0o600, run_in_executor=False
        )

    def folder(self, version: str) -> Path:
        """The folder of a version."""
        return self._folder / check_name(version, "model version")

    def read(self, version: str) -> Artifact | None:
        """A version without users, memory-mapped and verified; None if it is not kept.

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
            check_tensors(tensors, manifest)
            files = {name: (folder / name).read_bytes() for name in manifest.files}
            for name, data in files.items():
                check_file(name, data, manifest)
        except (ArtifactError, OSError, ValueError) as error:
            _logger.warning("the cached model %s is removed: %s", version, error)
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return Artifact(manifest=manifest, tensors=tensors, files=files)

    @contextmanager
    def writing(self, manifest: ArtifactManifest) -> Iterator[Path]:
        """A folder to write a version's tensors (NAME.npy) and files to; it appears at the end.

        Hold the version's lock meanwhile. OSError, as on a full disk.
        """
        version = manifest.model_version
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for torn in self._folder.glob(f".{version}-*"):
            shutil.rmtree(torn, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=self._folder))
        try:
            yield staging
            (staging / MANIFEST).write_text(manifest.model_dump_json())
            shutil.rmtree(self._folder / version, ignore_errors=True)
            staging.rename(self._folder / version)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def kept(self) -> list[str]:
        """The versions that are kept."""
        return sorted(path.parent.name for path in self._folder.glob(f"[!.]*/{MANIFEST}"))

    def manifest(self, version: str) -> ArtifactManifest | None:
        """The manifest of a version as it is kept; None if it is not usable."""
        path = self.folder(version) / MANIFEST
        try:
            return parse_manifest(path.read_bytes(), str(path))
        except (OSError, ArtifactError):
            return None

    def remove(self, version: str) -> None:
        """Keep a version no longer."""
        shutil.rmtree(self.folder(version), ignore_errors=True)

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
        """Note that a version is being served, and its probe users; drop old versions. OSError.

        A dropped version that is still mapped stays readable.
        """
        with _replacing(self._folder / version / _PROBE_USERS) as fresh:
            np.savez(fresh, allow_pickle=False, **probe_users)
        with _replacing(self._folder / _LAST_GOOD) as fresh:
            fresh.write(version.encode())
        folders = [path for path in self._folder.iterdir() if (path / MANIFEST).is_file()]
        others = sorted(
            (path for path in folders if path.name != version),
            key=lambda path: path.stat().st_mtime,
            reverse=True,
        )
        for path in others[KEPT_VERSIONS - 1 :]:
            shutil.rmtree(path, ignore_errors=True)
            (self._folder / f".{path.name}.lock").unlink(missing_ok=True)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which takes the place of `path` at the end."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as fresh:
        yield fresh
    Path(fresh.name).replace(path)
