"""Which versions a namespace holds, which one is live, and which ones have had their time.

Knows the coordination keys; knows nothing about artifacts on disk.
"""

from collections.abc import Mapping, Sequence
from itertools import islice, pairwise

from model.contract.canary import Canary
from model.contract.keys import KeySpace
from training.publish.blobs import unlink
from training.publish.canaries import begin_canary, queue_canary, queue_end
from training.publish.connection import Client, Transaction, text
from training.publish.lock import FencedLock, PublishLock
from training.publish.policy import PublishPolicy

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
