"""One publish from start to end: lock, write, read back, manifest, flip, tidy.

Knows the order of the steps; knows nothing about how a chunk or a lock is made.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from model.artifact.files import Artifact, ArtifactError, parse_manifest, read_artifact
from model.artifact.manifest import ArtifactManifest
from model.registry.keys import KeySpace
from training.publish.blobs import num_bytes, remove_blobs, verify_blobs, write_blobs
from training.publish.connection import (
    FAULTS,
    Client,
    DamagedArtifactError,
    DamagedCopyError,
    PublishError,
    VersionTakenError,
    address_of,
    connected,
)
from training.publish.lock import PublishLock, RetrainLock
from training.publish.registry import PublishPolicy, VersionShelf

log = logging.getLogger(__name__)

Report = Callable[[str], object]
DEFAULT_POLICY = PublishPolicy()
_REPORT_SECONDS = 5.0
_MIB = 2**20


def live_version(redis_url: str, namespace: str = "default") -> str | None:
    """The version that a namespace serves, or None before the first publish."""
    with connected(redis_url) as client:
        return VersionShelf(client, KeySpace(namespace)).live()


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
    A version's bytes are written once and never change: publishing a version that is already
    there (live, or since superseded) verifies the stored bytes and moves at most the pointer.

    Args:
        folder: an artifact, as `python -m training fit` writes it.
        redis_url: the server, Sentinel's master or cluster; see `model.registry.address`.
        namespace: separates models that share a server.
        policy: patience and retention.
        report: called with a line of text at each step.
        within: the retraining that this publish is a step of; it must not have lost its lock.

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
        where = f"in namespace {namespace!r} at {address_of(redis_url)}"
        if publication.is_live():
            report(f"{publication.version} is already live {where}: nothing to do")
            return publication.version
        with PublishLock(
            client,
            keys,
            lock_seconds=policy.lock_seconds,
            wait_seconds=policy.wait_seconds,
            within=within,
        ) as lock:
            pinned = publication.run(lock, policy)
        if publication.shelf.live() == publication.version:
            report(f"{publication.version} is live {where}")
        elif pinned is None:
            report(f"{publication.version} serves a share of the users {where}, as a canary")
        else:
            report(
                f"{publication.version} is stored {where}, but {pinned} is pinned and stays live; "
                "`promote` or `unpin` changes that"
            )
        return publication.version


def _same_manifest(stored: str | bytes, manifest: ArtifactManifest) -> bool:
    try:
        return parse_manifest(stored, "stored manifest") == manifest
    except ArtifactError:
        return False


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
    def shelf(self) -> VersionShelf:
        return VersionShelf(self.client, self.keys)

    def is_live(self) -> bool:
        return self.shelf.live() == self.version and self._is_stored()

    def run(self, lock: PublishLock, policy: PublishPolicy) -> str | None:
        """The version that is pinned and stays live, or None."""
        self.shelf.sweep(policy, lock)
        if not self._is_stored():
            self._store(lock)
        pinned = self.shelf.make_live(self.version, lock, policy.canary_share)
        try:
            removed = self.shelf.sweep(policy, lock)
        except (*FAULTS, PublishError) as error:
            self.report(f"old versions stay until the next publish: {error}")
        else:
            if removed:
                self.report(f"removed old versions: {', '.join(removed)}")
        return pinned

    def _is_stored(self) -> bool:
        """Is this very version there, whole? VersionTakenError if its name means another."""
        stored = self.shelf.manifest(self.version)
        if stored is None:
            return False
        if not _same_manifest(stored, self.artifact.manifest):
            raise VersionTakenError(
                f"version {self.version} was published before with other content, "
                "and a version never changes; export the model again under a new version"
            )
        try:
            for _ in verify_blobs(self.client, self.keys, self.artifact.manifest):
                pass
        except DamagedCopyError:
            return False
        return True

    def _store(self, lock: PublishLock) -> None:
        """Write and verify every chunk, then the manifest; on failure leave nothing behind.

        A version that was complete once keeps its keys even on failure: what is rewritten there
        are the same bytes, and replicas may hold on to it.
        """
        was_complete = self.shelf.holds(self.version)
        manifest = self.artifact.manifest
        total = num_bytes(manifest)
        self.report(f"publishing {self.version}: {total / _MIB:.1f} MiB")
        try:
            self._follow("written", write_blobs(self.client, self.keys, self.artifact), lock)
            self._follow("verified", verify_blobs(self.client, self.keys, manifest), lock)
            lock.renew()
            self.client.set(self.keys.manifest(self.version), manifest.model_dump_json())
        except BaseException:
            if not was_complete:
                self._discard(lock)
            raise

    def _follow(self, what: str, batches: Iterator[int], lock: PublishLock) -> None:
        """Drive the batches, keep the lock alive, report every few seconds."""
        total, done, reported_at = num_bytes(self.artifact.manifest), 0, time.monotonic()
        for size in batches:
            lock.keep()
            done += size
            if time.monotonic() - reported_at > _REPORT_SECONDS:
                self.report(f"{what} {done / _MIB:.0f} of {total / _MIB:.0f} MiB")
                reported_at = time.monotonic()

    def _discard(self, lock: PublishLock) -> None:
        """Remove our half-written keys while we still hold the lock; else the next publish does."""
        with suppress(*FAULTS, PublishError):
            lock.renew()
            remove_blobs(self.client, self.keys, self.artifact.manifest)
