"""One publish from start to end: lock, write, read back, manifest, go live, prune.

Chunks are written and read some MiB at a time; between them the lock is renewed and progress told.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from model.artifact.files import Artifact, ArtifactError, read_artifact
from model.artifact.stored import chunks, read_manifest
from model.artifact.tables import StringTable
from model.registry.keys import KeySpace
from model.registry.state import State
from training.publish.blobs import stored_array, unlink, verify_blobs, write_blobs
from training.publish.connection import (
    FAULTS,
    Client,
    DamagedCopyError,
    PublishError,
    address_of,
    connected,
    policy_warning,
)
from training.publish.lock import PublishLock, RetrainLock
from training.publish.registry import PublishPolicy, Registry

log = logging.getLogger(__name__)

Report = Callable[[str], object]
DEFAULT_POLICY = PublishPolicy()
_REPORT_SECONDS = 5.0
_MIB = 2**20
LEAST_SHARED = 0.1
"""Least share of the smaller catalogue that both have; seasons change less (ours)."""


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
        PublishError: nothing live was changed; the message says why and what to do.
    """
    try:
        artifact = read_artifact(folder)
        keys = KeySpace(namespace)
    except ValueError as error:  # of which ArtifactError is one
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
            PublishError: the name belongs to other content.
        """
        stored = self.client.get(self.keys.manifest(self.version))
        if stored is None:
            return False
        same = False
        with suppress(ArtifactError):
            same = read_manifest(stored, self.version) == self.artifact.manifest
        if not same:
            raise PublishError(
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


def check_same_shop(client: Client, keys: KeySpace, artifact: Artifact, live: str) -> None:
    """PublishError if the live model knows hardly any item of another one.

    A live model that cannot be read is no reason to refuse.
    """
    with suppress(ArtifactError):
        manifest = read_manifest(client.get(keys.manifest(live)), live)
        names = [f"{what}_ids_{part}" for what in ("item", "user") for part in ("blob", "offsets")]
        stored = {name: stored_array(client, keys, manifest, name) for name in names}
        (items, most_items), (users, most_users) = (
            _shared(artifact.tensors, stored, what) for what in ("item", "user")
        )
        if items < LEAST_SHARED * most_items:
            raise PublishError(
                f"{artifact.manifest.model_version} shares {items:,} of at most {most_items:,} "
                f"items and {users:,} of at most {most_users:,} users with {live}, which is live "
                f"in namespace {keys.namespace!r}: it seems to be another shop's. Nothing was "
                "changed. Publish it to another --namespace, or replace the live model with --force"
            )


def _shared(
    ours: Mapping[str, NDArray[Any]], theirs: Mapping[str, NDArray[Any]], what: str
) -> tuple[int, int]:
    """How many ids two models share, and how many they could share."""
    ids = [_ids(tensors, what) for tensors in (ours, theirs)]
    return len(ids[0] & ids[1]), min(map(len, ids))


def _ids(tensors: Mapping[str, NDArray[Any]], what: str) -> set[bytes]:
    table = StringTable(tensors[f"{what}_ids_blob"], tensors[f"{what}_ids_offsets"])
    return {table.raw(row) for row in range(len(table))}
