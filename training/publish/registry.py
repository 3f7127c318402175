"""Which versions a namespace holds, which one is live, and which ones have had their time.

Knows the coordination keys; knows nothing about artifacts on disk.
"""

# FOLDED training/publish/registry.py: The canary's key, as the side that publishes changes it: in transactions that watch it.
#
#   Knows the key; when there may be a canary is said by `model.registry.canary`.
#
# FOLDED training/publish/registry.py: What an operator may choose about publishing: patience, and which old versions stay.
# FOLDED training/publish/registry.py: Which version is live, said by people: list, activate, roll back, pin, unpin, try as a canary.
#
#   Knows the coordination keys; knows nothing about what a version holds beyond its manifest. Every
#   change is one transaction, the same that the service makes for its administrators.
#

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise

from model.artifact.files import ArtifactError, parse_manifest
from model.registry.canary import Canary, CanaryRefused, begin
from model.registry.keys import KeySpace
from training.publish.blobs import unlink
from training.publish.connection import Client, PublishError, Transaction, UnknownVersionError, text
from training.publish.lock import FencedLock, PublishLock


def begin_canary(
    version: str,
    share: float,
    live: bytes | str | None,
    pinned: bytes | str | None,
    running: Canary | None,
) -> Canary:
    """`model.registry.canary.begin`, now; PublishError if there can be none."""
    try:
        return begin(
            version,
            share,
            datetime.now(UTC),
            live=None if live is None else text(live),
            pinned=None if pinned is None else text(pinned),
            running=running,
        )
    except CanaryRefused as error:
        raise PublishError(str(error)) from error


def queue_canary(pipe: Transaction, keys: KeySpace, canary: Canary, *, is_new: bool) -> None:
    """Queue what records a canary, begun, changed or ended, and announces that."""
    pipe.set(keys.canary, canary.model_dump_json())
    if is_new:
        pipe.delete(keys.canary_answers)
    # Spelt out: redis-py has no `publish` in a cluster's transaction, though servers do.
    pipe.execute_command("PUBLISH", keys.events, canary.version)  # type: ignore[no-untyped-call]


def queue_end(
    pipe: Transaction, keys: KeySpace, running: Canary | None, live: str, *, pinned: bool
) -> None:
    """Queue the end of a running canary, if there is one, as `live` goes live or is pinned."""
    if running is not None:
        ended = running.outrun(live, datetime.now(UTC), pinned=pinned)
        queue_canary(pipe, keys, ended, is_new=False)


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


_SCAN_COUNT = 1000


def expired(
    published_at: Mapping[str, float], pinned: set[str], policy: PublishPolicy, now: float
) -> list[str]:
    """Versions that may go: not pinned, not among the newest, superseded for longer than grace.

    Args:
        published_at: when each complete version was published, in Unix seconds.
        pinned: versions that stay whatever their age.
        policy: how many stay, and for how long the others do.
        now: Unix seconds, by the same clock.
    """
    newest_first = sorted(published_at, key=lambda version: published_at[version], reverse=True)
    return [
        version
        for successor, version in pairwise(newest_first)
        if version not in pinned
        and version not in newest_first[: policy.keep]
        and now - published_at[successor] >= policy.grace_seconds
    ]


def point_at(pipe: Transaction, keys: KeySpace, version: str, before: bytes | str | None) -> None:
    """Queue what makes a version live in place of the one `before` it, and announces it."""
    if before is not None:
        pipe.set(keys.previous, before)
    pipe.set(keys.current, version)
    # Spelt out: redis-py has no `publish` in a cluster's transaction, though servers do.
    pipe.execute_command("PUBLISH", keys.events, version)  # type: ignore[no-untyped-call]


class VersionShelf:
    """The versions of one namespace on one server."""

    def __init__(self, client: Client, keys: KeySpace) -> None:
        self._client = client
        self._keys = keys

    def live(self) -> str | None:
        """The version that `current` names."""
        name = self._client.get(self._keys.current)
        return None if name is None else text(name)

    def manifest(self, version: str) -> bytes | str | None:
        """The stored manifest of a version, JSON."""
        return self._client.get(self._keys.manifest(version))

    def holds(self, version: str) -> bool:
        """Was this version once published as complete, and not retired since?"""
        return version in self.named() or version in self._published_at()

    def make_live(
        self, version: str, lock: PublishLock, canary_share: float | None = None
    ) -> str | None:
        """Point `current` at a complete version and announce it, all or nothing.

        While another version is pinned the new one is recorded and the pointer stays. With a share
        it stays as well, and the new version becomes the canary; unless nothing is live yet.

        Returns:
            The other version that is pinned, or None if the new one is served.

        Raises:
            PublishError: another canary runs.

        WATCH with MULTI rather than a Lua script: every key carries the namespace's hash tag, so
        it works on a cluster, on servers whose ACL forbids scripts, and it aborts as well when
        the watched lock merely expires. It may be repeated after a lost answer: if the pointer
        has moved already, nothing happens, so `previous` never names the live version itself.
        """
        keys = self._keys
        now = self._now()
        pinned: bytes | str | None = None

        def flip(pipe: Transaction) -> None:
            nonlocal pinned
            before, pinned = (pipe.get(key) for key in (keys.current, keys.pinned))
            running = Canary.running_in(pipe.get(keys.canary))
            held = pinned not in (None, version.encode())
            canary = None
            if canary_share is not None and not held and before not in (None, version.encode()):
                canary = begin_canary(version, canary_share, before, None, running)
            pipe.multi()
            if before == version.encode():
                return
            pipe.zadd(keys.versions, {version: now})
            if canary is not None:
                queue_canary(pipe, keys, canary, is_new=running is None)
            elif not held:
                point_at(pipe, keys, version, before)
                queue_end(pipe, keys, running, version, pinned=False)

        lock.guard(flip, keys.current, keys.pinned, keys.canary)
        return None if pinned is None or text(pinned) == version else text(pinned)

    def promote_canary(self, canary: Canary, lock: FencedLock) -> bool:
        """Make a canary live, unless it has ended meanwhile; whether it was."""
        keys = self._keys
        promoted = False

        def flip(pipe: Transaction) -> None:
            nonlocal promoted
            before = pipe.get(keys.current)
            running = Canary.running_in(pipe.get(keys.canary))
            promoted = canary.is_same(running)
            pipe.multi()
            if promoted:
                point_at(pipe, keys, canary.version, before)
                queue_end(pipe, keys, running, canary.version, pinned=False)

        lock.guard(flip, keys.current, keys.canary)
        return promoted

    def sweep(self, policy: PublishPolicy, lock: PublishLock) -> list[str]:
        """Retire versions that have had their time; remove what dead publishes left behind.

        Returns:
            The versions of which something was removed.
        """
        lock.renew()
        self._retire(policy, lock)
        alive = self._published_at().keys() | self.named()
        dead: set[str] = set()
        found = map(
            text,
            self._client.scan_iter(match=self._keys.every_version_pattern, count=_SCAN_COUNT),
        )
        while names := list(islice(found, _SCAN_COUNT)):
            orphans = [name for name in names if self._keys.version_of(name) not in alive]
            unlink(self._client, iter(orphans))
            dead.update(map(self._keys.version_of, orphans))
            lock.keep()
        return sorted(dead)

    def _retire(self, policy: PublishPolicy, lock: PublishLock) -> None:
        """Strike versions off the list, unless one of them is activated at the same moment."""
        keys, now = self._keys, self._now()

        def strike(pipe: Transaction) -> None:
            published = {text(name): float(at) for name, at in pipe.zscan_iter(keys.versions)}
            named = _named([pipe.get(name) for name in self._names])
            retired = expired(published, named, policy, now)
            pipe.multi()
            if retired:
                pipe.zrem(keys.versions, *retired)

        lock.guard(strike, *self._names, keys.versions)

    @property
    def _names(self) -> tuple[str, ...]:
        """Keys that name a version, which keeps the version."""
        keys = self._keys
        return keys.current, keys.previous, keys.pinned, keys.canary

    def named(self) -> set[str]:
        """Versions that are live, were before, are pinned, or run as a canary."""
        return _named(self._client.mget(self._names))

    def _published_at(self) -> dict[str, float]:
        scored = self._client.zscan_iter(self._keys.versions)
        return {text(name): float(score) for name, score in scored}

    def _now(self) -> float:
        """The server's clock, the only one that all publishers share."""
        seconds, micros = self._client.time()
        return float(seconds) + micros / 1e6


def _named(found: Sequence[bytes | str | None]) -> set[str]:
    """The versions in the values of `VersionShelf._names`."""
    *names, canary = found
    running = Canary.running_in(canary)
    return {text(name) for name in names if name is not None} | (
        set() if running is None else {running.version}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """One version of a namespace."""

    version: str
    published_at: datetime
    roles: tuple[str, ...]
    """Of `current`, `previous`, `pinned` and `canary`."""
    metrics: dict[str, float]
    """The manifest's; empty if it cannot be read."""


class Control:
    """The versions of one namespace on one server."""

    def __init__(self, client: Client, keys: KeySpace) -> None:
        self._client = client
        self._keys = keys

    def versions(self) -> list[StoredVersion]:
        """Newest first."""
        names = dict(zip(("current", "previous", "pinned"), self._named(), strict=True))
        canary = Canary.running_in(self._client.get(self._keys.canary))
        names["canary"] = None if canary is None else canary.version
        scored = self._client.zscan_iter(self._keys.versions)
        stored = sorted(((float(at), text(name)) for name, at in scored), reverse=True)
        return [
            StoredVersion(
                version=version,
                published_at=datetime.fromtimestamp(at, UTC),
                roles=tuple(role for role, name in names.items() if name == version),
                metrics=self._metrics(version),
            )
            for at, version in stored
        ]

    def activate(self, version: str, *, pin: bool) -> None:
        """Make a stored version live; a pin is moved to it, or else lifted.

        Raises:
            UnknownVersionError: it is not stored, or not whole.
        """

        def change(pipe: Transaction) -> None:
            before = pipe.get(self._keys.current)
            canary = Canary.running_in(pipe.get(self._keys.canary))
            self._check_stored(pipe, version)
            pipe.multi()
            flips = before != version.encode()
            if flips:
                point_at(pipe, self._keys, version, before)
            if flips or pin:
                queue_end(pipe, self._keys, canary, version, pinned=pin)
            if pin:
                pipe.set(self._keys.pinned, version)
            else:
                pipe.delete(self._keys.pinned)

        self._transaction(change)

    def roll_back(self) -> tuple[str, str]:
        """Go back to the version before the live one and pin it.

        Returns:
            The version that was live, and the one that is.

        Raises:
            UnknownVersionError: there is none to go back to.
            PublishError: a version is pinned, perhaps by an earlier roll-back: going "back" again
                would make the version live that was left.
        """
        moved: tuple[str, str] | None = None

        def change(pipe: Transaction) -> None:
            nonlocal moved
            before, previous, pinned = (pipe.get(name) for name in self._names)
            if pinned is not None:
                raise PublishError(
                    f"version {text(pinned)} is pinned already; to leave it, name the version: "
                    "`promote VERSION --pin` (`models` lists them)"
                )
            if before is None or previous is None or before == previous:
                raise UnknownVersionError("there is no version before the live one")
            self._check_stored(pipe, text(previous))
            canary = Canary.running_in(pipe.get(self._keys.canary))
            pipe.multi()
            point_at(pipe, self._keys, text(previous), before)
            queue_end(pipe, self._keys, canary, text(previous), pinned=True)
            pipe.set(self._keys.pinned, previous)
            moved = text(before), text(previous)

        self._transaction(change)
        assert moved is not None
        return moved

    def pin(self) -> str:
        """Keep the live version live, whatever is published; returns its name."""
        live = self._client.get(self._keys.current)
        if live is None:
            raise UnknownVersionError("nothing is live yet, so there is nothing to pin")
        self.activate(text(live), pin=True)
        return text(live)

    def unpin(self) -> str | None:
        """Let the next publish go live; returns what was pinned."""
        pinned = self._client.getdel(self._keys.pinned)
        return None if pinned is None else text(pinned)

    def canary(self) -> tuple[Canary, int] | None:
        """The latest canary, running or ended, and how many answers it has given."""
        canary = Canary.parse(self._client.get(self._keys.canary))
        if canary is None:
            return None
        return canary, int(self._client.hget(self._keys.canary_answers, canary.version) or 0)

    def start_canary(self, version: str, share: float) -> Canary:
        """Let a stored version serve a share of the users; of the canary itself: change its share.

        Raises:
            UnknownVersionError: it is not stored, or not whole.
            PublishError: it is live, a version is pinned, another canary runs, or the share is out
                of range.
        """
        started: Canary | None = None

        def change(pipe: Transaction) -> None:
            nonlocal started
            live, _, pinned = (pipe.get(name) for name in self._names)
            running = Canary.running_in(pipe.get(self._keys.canary))
            self._check_stored(pipe, version)
            started = begin_canary(version, share, live, pinned, running)
            pipe.multi()
            queue_canary(pipe, self._keys, started, is_new=running is None)

        self._transaction(change)
        assert started is not None
        return started

    def stop_canary(self, reason: str) -> Canary | None:
        """Everybody gets the live version again; returns the canary that ran, None if none did."""
        stopped: Canary | None = None

        def change(pipe: Transaction) -> None:
            nonlocal stopped
            stopped = Canary.running_in(pipe.get(self._keys.canary))
            pipe.multi()
            if stopped is not None:
                stopped = stopped.ended("stopped", reason, datetime.now(UTC))
                queue_canary(pipe, self._keys, stopped, is_new=False)

        self._transaction(change)
        return stopped

    @property
    def _names(self) -> tuple[str, str, str]:
        return self._keys.current, self._keys.previous, self._keys.pinned

    def _named(self) -> list[str | None]:
        return [None if x is None else text(x) for x in self._client.mget(*self._names)]

    def _transaction(self, change: Callable[[Transaction], None]) -> None:
        keys = self._keys
        self._client.transaction(change, *self._names, keys.versions, keys.canary)

    def _check_stored(self, pipe: Transaction, version: str) -> None:
        if pipe.zscore(self._keys.versions, version) is None:
            raise UnknownVersionError(
                f"there is no version {version!r} in namespace {self._keys.namespace!r}; "
                "`models` lists those that are stored"
            )

    def _metrics(self, version: str) -> dict[str, float]:
        stored = self._client.get(self._keys.manifest(version))
        try:
            return parse_manifest(stored or b"", version).metrics
        except ArtifactError:
            return {}
