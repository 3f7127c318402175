"""The published versions of one namespace: the sync driver of `model.registry.state`."""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from model.artifact.files import ArtifactError
from model.artifact.manifest import ArtifactManifest
from model.artifact.stored import PER_USER, chunks, read_manifest
from model.registry.canary import Canary
from model.registry.experiment import Experiment
from model.registry.keys import KeySpace
from model.registry.state import Change, NotPublished, Refused, State
from training.publish.blobs import BATCH_KEYS, unlink, verify_blobs
from training.publish.connection import (
    Client,
    DamagedCopyError,
    PublishError,
    Transaction,
    UnknownVersionError,
    text,
)
from training.publish.lock import FencedLock, PublishLock


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishPolicy:
    """Settings of one publish; the defaults suit a nightly training."""

    keep: int = 3
    """Newest complete versions that stay; the live and the previous one always do."""
    grace_seconds: float = 600.0
    """How long a superseded version beyond `keep` stays, for replicas that still load it."""
    lock_seconds: float = 30.0
    """Life of the publisher's lock unless renewed: how long a killed publisher blocks the next."""
    wait_seconds: float = 0.0
    """How long to wait for another publisher before giving up."""
    canary_share: float | None = None
    """Share of the users that the new version serves at first, as a canary; None: it goes live."""
    force: bool = False
    """Replace a live model even if it seems to be another shop's."""
    gives_way: bool = False
    """Refuse rather than go live where a finished version is, or a pin or a canary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """One published version."""

    version: str
    published_at: datetime
    roles: tuple[str, ...]
    """Its roles by `State.roles`."""
    metrics: dict[str, float]
    """The manifest's; empty if it cannot be read."""
    early: bool
    """Whether its training went on."""


class Registry:
    """The versions of one namespace on one server."""

    def __init__(self, client: Client, keys: KeySpace) -> None:
        self._client = client
        self._keys = keys

    def state(self) -> State:
        """What is published, live, previous, pinned, and the latest canary."""
        return self._read(self._client)

    def experiment(self, canary: Canary) -> Experiment:
        """What was counted of a canary's users and of the others."""
        counts, _, _ = self._keys.experiment(canary.version, canary.started_at)
        client: Any = self._client
        return Experiment.of(client.hgetall(counts))

    def versions(self) -> list[StoredVersion]:
        """The published versions, newest first."""
        state = self.state()
        manifests = {name: self._readable_manifest(name) for name in state.newest_first}
        return [
            StoredVersion(
                version=version,
                published_at=datetime.fromtimestamp(state.published_at[version], UTC),
                roles=tuple(role for role, name in state.roles.items() if name == version),
                metrics={} if manifest is None else manifest.metrics,
                early=manifest is not None and manifest.training.early,
            )
            for version, manifest in manifests.items()
        ]

    def early(self) -> set[str]:
        """The stored versions that were published while their training went on."""
        manifests = {name: self._readable_manifest(name) for name in self.state().stored}
        return {name for name, found in manifests.items() if found and found.training.early}

    def publish(
        self, version: str, lock: PublishLock, policy: PublishPolicy, early: Collection[str] = ()
    ) -> State:
        """Record a version that has been verified, and make it live, or a canary.

        `early` are those of `Registry.early`, with this one if it is one of them.
        """
        transition = _publishing(version, policy, early, self._now())
        return self._attempt(transition, {version}, lock).after

    def check(self, version: str, policy: PublishPolicy, early: Collection[str]) -> None:
        """PublishError if `publish` would be refused."""
        with _refusals():
            _publishing(version, policy, early, self._now())(self.state())

    def apply(
        self, transition: Callable[[State], Change], lock: FencedLock | None = None
    ) -> Change:
        """Write a transition; what `has_to_be_whole` by it is checked before.

        Args:
            transition: a method of `State`; called again if the state changes meanwhile.
            lock: one that must still be held.

        Raises:
            UnknownVersionError: there is no such version, or it is not whole.
            PublishError: the state refuses the transition.
        """
        whole: set[str] = set()
        while True:
            change = self._attempt(transition, whole, lock)
            if change.has_to_be_whole <= whole:
                return change
            for version in change.has_to_be_whole:
                self._check_whole(version)
            whole |= change.has_to_be_whole

    def sweep(
        self, policy: PublishPolicy, lock: PublishLock, early: Collection[str] = ()
    ) -> list[str]:
        """Prune old versions and remove what dead publishes left; the versions that lost a key."""
        lock.renew()
        at, keep, grace = self._now(), policy.keep, policy.grace_seconds
        self.apply(lambda state: state.prune(at, keep=keep, grace_seconds=grace, early=early), lock)
        stored = self.state().stored
        dead: set[str] = set()
        pattern = self._keys.every_version_pattern
        found = map(text, self._client.scan_iter(match=pattern, count=BATCH_KEYS))
        while names := list(islice(found, BATCH_KEYS)):
            orphans = [name for name in names if self._keys.version_of(name) not in stored]
            unlink(self._client, orphans)
            dead.update(map(self._keys.version_of, orphans))
            lock.keep()
        return sorted(dead)

    def _attempt(
        self, transition: Callable[[State], Change], whole: set[str], lock: FencedLock | None
    ) -> Change:
        """One transaction; nothing is written if `whole` lacks what `has_to_be_whole`.

        WATCH with MULTI rather than a script: it works on servers whose ACL forbids scripts, and it
        aborts as well when the watched lock merely expires.
        """
        changes: list[Change] = []

        def step(pipe: Transaction) -> None:
            change = transition(self._read(pipe))
            changes.append(change)
            pipe.multi()
            if change.has_to_be_whole <= whole:
                for command in change.commands(self._keys):
                    pipe.execute_command(*command)  # type: ignore[no-untyped-call]

        run = self._client.transaction if lock is None else lock.guard
        with _refusals():
            run(step, *self._keys.watched)
        return changes[-1]

    def _read(self, client: Any) -> State:
        keys = self._keys
        return State.of(
            keys.namespace,
            # By its name: redis-py has no method `mget` in a cluster's transaction.
            client.execute_command("MGET", *keys.pointers),
            client.zrange(keys.versions, 0, -1, withscores=True),
            client.hgetall(keys.canary_answers),
        )

    def _manifest(self, version: str) -> ArtifactManifest:
        return read_manifest(self._client.get(self._keys.manifest(version)), version)

    def _check_whole(self, version: str) -> None:
        """Every chunk is there, with the content that it had; UnknownVersionError otherwise."""
        try:
            manifest = self._manifest(version)
            found = chunks(self._keys, manifest)
            while batch := list(islice(found, BATCH_KEYS)):
                with self._client.pipeline(transaction=False) as pipe:
                    for chunk in batch:
                        pipe.strlen(chunk.key)
                    for chunk, length in zip(batch, pipe.execute(), strict=True):
                        chunk.check_length(length)
            rest = {*manifest.tensors, *manifest.files} - set(PER_USER)
            deque(verify_blobs(self._client, self._keys, manifest, rest), maxlen=0)
        except (ArtifactError, DamagedCopyError) as error:
            raise UnknownVersionError(f"version {version!r} is not whole: {error}") from error

    def _readable_manifest(self, version: str) -> ArtifactManifest | None:
        with suppress(ArtifactError):
            return self._manifest(version)
        return None

    def _now(self) -> datetime:
        """The server's clock, the only one that all publishers share."""
        seconds, micros = self._client.time()
        return datetime.fromtimestamp(seconds + micros / 1e6, UTC)


def _publishing(
    version: str, policy: PublishPolicy, early: Collection[str], at: datetime
) -> Callable[[State], Change]:
    """The transition that publishes a version."""
    if policy.gives_way:
        return lambda state: state.publish_early(version, at, early)
    return lambda state: state.publish(version, at, policy.canary_share, early=early)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except NotPublished as error:
        raise UnknownVersionError(str(error)) from error
    except Refused as error:
        raise PublishError(str(error)) from error
