"""The published versions of one namespace: the sync driver of `model.registry.state`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from model.artifact.files import ArtifactError
from model.artifact.stored import read_manifest
from model.registry.canary import Canary, Outcome
from model.registry.keys import KeySpace
from model.registry.state import Change, NotPublished, Refused, State
from training.publish.blobs import check_present, unlink
from training.publish.connection import Client, PublishError, Transaction, UnknownVersionError, text
from training.publish.lock import FencedLock, PublishLock

_SCAN_COUNT = 1000


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """One published version."""

    version: str
    published_at: datetime
    roles: tuple[str, ...]
    """Of `State.roles`."""
    metrics: dict[str, float]
    """The manifest's; empty if it cannot be read."""


class Registry:
    """The versions of one namespace on one server. Transitions raise PublishError if refused."""

    def __init__(self, client: Client, keys: KeySpace) -> None:
        self._client = client
        self._keys = keys

    def state(self) -> State:
        """What is published, live, previous, pinned, and the latest canary."""
        return self._read(self._client)

    def versions(self) -> list[StoredVersion]:
        """The published versions, newest first."""
        state = self.state()
        return [
            StoredVersion(
                version=version,
                published_at=datetime.fromtimestamp(state.published_at[version], UTC),
                roles=tuple(role for role, name in state.roles.items() if name == version),
                metrics=self._metrics(version),
            )
            for version in state.newest_first
        ]

    def publish(self, version: str, lock: PublishLock, share: float | None = None) -> State:
        """Record a version that has been verified, and make it live, or a canary of a share."""
        at = self._now()
        return self._attempt(lambda state: state.publish(version, at, share), {version}, lock).after

    def activate(self, version: str, *, pin: bool) -> State:
        """Make a version live, and pin it or lift the pin.

        Raises:
            UnknownVersionError: it is not published, or not whole.
        """
        return self._apply(lambda state: state.activate(version, _clock(), pin=pin)).after

    def roll_back(self) -> Change:
        """Go back to the version before the live one and pin it.

        Raises:
            UnknownVersionError: there is none, or it is not whole.
            PublishError: a version is pinned.
        """
        return self._apply(lambda state: state.roll_back(_clock()))

    def pin(self) -> State:
        """Keep the live version live, whatever is published; UnknownVersionError without one."""
        return self._apply(lambda state: state.pin(_clock())).after

    def unpin(self) -> Change:
        """Let the next publish go live."""
        return self._apply(State.unpin)

    def start_canary(self, version: str, share: float) -> State:
        """Let a version serve a share of the users, or change the canary's share.

        Raises:
            UnknownVersionError: it is not published, or not whole.
            PublishError: it is live, nothing is, a version is pinned, another canary runs, or the
                share is out of range.
        """
        return self._apply(lambda state: state.start_canary(version, share, _clock())).after

    def end_canary(self, outcome: Outcome, reason: str, only: Canary | None = None) -> Change:
        """End the running canary, if there is one and it is the one meant by `only`."""
        return self._apply(lambda state: state.end_canary(outcome, reason, _clock(), only))

    def promote_canary(self, canary: Canary, lock: FencedLock) -> bool:
        """Make a canary live, unless it has ended meanwhile; whether it was."""
        return self._apply(lambda state: state.promote_canary(canary, _clock()), lock).happened

    def sweep(self, policy: PublishPolicy, lock: PublishLock) -> list[str]:
        """Prune old versions, and remove what dead publishes left behind.

        Returns:
            The versions of which something was removed.
        """
        lock.renew()
        at, keep, grace = self._now(), policy.keep, policy.grace_seconds
        self._apply(lambda state: state.prune(at, keep=keep, grace_seconds=grace), lock)
        stored = self.state().stored
        dead: set[str] = set()
        pattern = self._keys.every_version_pattern
        found = map(text, self._client.scan_iter(match=pattern, count=_SCAN_COUNT))
        while names := list(islice(found, _SCAN_COUNT)):
            orphans = [name for name in names if self._keys.version_of(name) not in stored]
            unlink(self._client, orphans)
            dead.update(map(self._keys.version_of, orphans))
            lock.keep()
        return sorted(dead)

    def _apply(
        self, transition: Callable[[State], Change], lock: FencedLock | None = None
    ) -> Change:
        """Write a transition; a version that begins to serve by it has to be whole."""
        whole: set[str] = set()
        while True:
            change = self._attempt(transition, whole, lock)
            if change.begins_to_serve <= whole:
                return change
            for version in change.begins_to_serve:
                self._check_whole(version)
            whole |= change.begins_to_serve

    def _attempt(
        self, transition: Callable[[State], Change], whole: set[str], lock: FencedLock | None
    ) -> Change:
        """One transaction; nothing is written if a version begins to serve that `whole` lacks.

        WATCH with MULTI rather than a script: it works on servers whose ACL forbids scripts, and it
        aborts as well when the watched lock merely expires.
        """
        changes: list[Change] = []

        def step(pipe: Transaction) -> None:
            change = transition(self._read(pipe))
            changes.append(change)
            pipe.multi()
            if change.begins_to_serve <= whole:
                for command in change.commands(self._keys):
                    pipe.execute_command(*command)  # type: ignore[no-untyped-call]

        run = self._client.transaction if lock is None else lock.guard
        try:
            run(step, *self._keys.watched)
        except NotPublished as error:
            raise UnknownVersionError(str(error)) from error
        except Refused as error:
            raise PublishError(str(error)) from error
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

    def _check_whole(self, version: str) -> None:
        try:
            stored = self._client.get(self._keys.manifest(version))
            check_present(self._client, self._keys, read_manifest(stored, version))
        except ArtifactError as error:
            raise UnknownVersionError(f"version {version!r} is not whole: {error}") from error

    def _metrics(self, version: str) -> dict[str, float]:
        try:
            return read_manifest(self._client.get(self._keys.manifest(version)), version).metrics
        except ArtifactError:
            return {}

    def _now(self) -> datetime:
        """The server's clock, the only one that all publishers share."""
        seconds, micros = self._client.time()
        return datetime.fromtimestamp(seconds + micros / 1e6, UTC)


def _clock() -> datetime:
    return datetime.now(UTC)
