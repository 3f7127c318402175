"""Which version is live, said by people: list, activate, roll back, pin, unpin, try as a canary.

Knows the coordination keys; knows nothing about what a version holds beyond its manifest. Every
change is one transaction, the same that the service makes for its administrators.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from model.contract.artifact import ArtifactError, parse_manifest
from model.contract.canary import Canary
from model.contract.keys import KeySpace
from training.publish.canaries import begin_canary, queue_canary, queue_end
from training.publish.connection import Client, Transaction, text
from training.publish.errors import PublishError, UnknownVersionError
from training.publish.versions import point_at


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
