"""One publish from start to end: lock, write, read back, manifest, go live, prune.

Chunks are written and read some MiB at a time; between them the lock is renewed and progress told.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.artifact.files import Artifact, ArtifactError, read_artifact
from model.artifact.manifest import little_endian
from model.artifact.stored import batches, chunks, read_manifest
from model.registry.keys import KeySpace
from model.registry.state import State
from training.publish.connection import (
    FAULTS,
    Client,
    DamagedArtifactError,
    DamagedCopyError,
    PublishError,
    VersionTakenError,
    address_of,
    connected,
    policy_warning,
)
from training.publish.lock import PublishLock, RetrainLock
from training.publish.registry import PublishPolicy, Registry, unlink, verify_blobs
from training.publish.shops import check_same_shop

log = logging.getLogger(__name__)

Report = Callable[[str], object]
DEFAULT_POLICY = PublishPolicy()
_REPORT_SECONDS = 5.0
_MIB = 2**20


def live_version(redis_url: str, namespace: str = "default") -> str | None:
    """The version that a namespace serves, or None before the first publish."""
    with connected(redis_url) as client:
        return Registry(client, KeySpace(namespace)).state().live


def publish_artifact(
    folder: Path,
    redis_url: str,
    namespace: str = "default",
    *,
    policy: PublishPolicy = DEFAULT_POLICY,
    report: Report = log.info,
    within: RetrainLock | None = None,
) -> str:
    """Make the artifact in `folder` the live version of `namespace`; returns its name.

    While another version is pinned, it is stored and recorded, and the pinned one stays live.
    A version never changes: publishing one that is there already verifies the stored bytes and
    moves at most the pointer.

    Args:
        folder: an artifact, as `magnet fit` writes it.
        redis_url: see `model.registry.address`.
        namespace: separates models that share a server.
        policy: how long to wait, and what to keep.
        report: called with a line of text at each step.
        within: the lock of the retraining that this publish is a step of.

    Raises:
        PublishError: nothing live was changed; see `training.publish.connection` for the reasons.
    """
    try:
        artifact = read_artifact(folder)
        keys = KeySpace(namespace)
    except ArtifactError as error:
        raise DamagedArtifactError(str(error)) from error
    except ValueError as error:
        raise PublishError(str(error)) from error
    with connected(redis_url) as client:
        publication = _Publication(client, keys, artifact, report)
        version = artifact.manifest.model_version
        where = f"in namespace {namespace!r} at {address_of(redis_url)}"
        live = publication.registry.state().live
        if live == version and publication.is_stored():
            report(f"{version} is already live {where}: nothing to do")
            return version
        if live is not None and within is None and not policy.force:
            check_same_shop(client, keys, artifact, live)
        seconds = {"lock_seconds": policy.lock_seconds, "wait_seconds": policy.wait_seconds}
        with PublishLock(client, keys, **seconds, within=within) as lock:
            state = publication.run(lock, policy)
        if state.live == version:
            report(f"{version} is live {where}")
        elif state.pinned is None:
            report(f"{version} serves a share of the users {where}, as a canary")
        else:
            report(
                f"{version} is stored {where}, but {state.pinned} is pinned and stays live; "
                "`promote` or `unpin` changes that"
            )
        return version


@dataclass(frozen=True, slots=True)
class _Publication:
    """The steps of publishing one artifact over one connection."""

    client: Client
    keys: KeySpace
    artifact: Artifact
    report: Report

    @property
    def version(self) -> str:
        return self.artifact.manifest.model_version

    @property
    def registry(self) -> Registry:
        return Registry(self.client, self.keys)

    def run(self, lock: PublishLock, policy: PublishPolicy) -> State:
        """Publish under the lock; the state that this leads to."""
        if (warning := policy_warning(self.client)) is not None:
            self.report(f"warning: {warning}")
        early = self.registry.early()
        if self.artifact.manifest.training.early:
            early.add(self.version)
        self.registry.check(self.version, policy, early)
        self.registry.sweep(policy, lock, early)
        if not self.is_stored():
            self._store(lock)
        state = self.registry.publish(self.version, lock, policy, early)
        try:
            if removed := self.registry.sweep(policy, lock, early):
                self.report(f"removed old versions: {', '.join(removed)}")
        except (*FAULTS, PublishError) as error:
            self.report(f"old versions stay until the next publish: {error}")
        return state

    def is_stored(self) -> bool:
        """Whether this very version is there, byte for byte.

        Raises:
            VersionTakenError: the name belongs to other content.
        """
        stored = self.client.get(self.keys.manifest(self.version))
        if stored is None:
            return False
        same = False
        with suppress(ArtifactError):
            same = read_manifest(stored, self.version) == self.artifact.manifest
        if not same:
            raise VersionTakenError(
                f"version {self.version} was published before with other content, "
                "and a version never changes; export the model again under a new version"
            )
        with suppress(DamagedCopyError):
            deque(verify_blobs(self.client, self.keys, self.artifact.manifest), maxlen=0)
            return True
        return False

    def _store(self, lock: PublishLock) -> None:
        """Write and verify every chunk, then the manifest; on failure leave nothing behind.

        A version that was complete once keeps its keys even on failure: the same bytes are
        rewritten there, and replicas may still use it. If the lock is lost, the next publish
        removes what is left.
        """
        was_complete = self.version in self.registry.state().stored
        manifest = self.artifact.manifest
        self.report(f"publishing {self.version}: {self._num_bytes() / _MIB:.1f} MiB")
        try:
            self._follow("written", write_blobs(self.client, self.keys, self.artifact), lock)
            self._follow("verified", verify_blobs(self.client, self.keys, manifest), lock)
            lock.renew()
            self.client.set(self.keys.manifest(self.version), manifest.model_dump_json())
        except BaseException:
            if not was_complete:
                with suppress(*FAULTS, PublishError):
                    lock.renew()
                    written = [chunk.key for chunk in chunks(self.keys, manifest)]
                    unlink(self.client, [self.keys.manifest(self.version), *written])
            raise

    def _num_bytes(self) -> int:
        return sum(chunk.stop - chunk.start for chunk in chunks(self.keys, self.artifact.manifest))

    def _follow(self, what: str, batches: Iterator[int], lock: PublishLock) -> None:
        """Drive the batches, keep the lock alive, report every few seconds."""
        total, done, reported_at = self._num_bytes(), 0, time.monotonic()
        for size in batches:
            lock.keep()
            done += size
            if time.monotonic() - reported_at > _REPORT_SECONDS:
                self.report(f"{what} {done / _MIB:.0f} of {total / _MIB:.0f} MiB")
                reported_at = time.monotonic()


def write_blobs(client: Client, keys: KeySpace, artifact: Artifact) -> Iterator[int]:
    """Write every chunk of every blob; yields the bytes of each batch once they are stored."""
    manifest = artifact.manifest
    for name in (*manifest.tensors, *manifest.files):
        if name in artifact.files:
            data = np.frombuffer(artifact.files[name], np.uint8)
        else:
            data = little_endian(artifact.tensors[name]).reshape(-1).view(np.uint8)
        for batch in batches(chunks(keys, manifest, [name])):
            with client.pipeline(transaction=False) as pipe:
                for chunk in batch:
                    pipe.set(chunk.key, data[chunk.start : chunk.stop].data)
                pipe.execute()
            yield batch[-1].stop - batch[0].start
