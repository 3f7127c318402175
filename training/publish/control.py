"""Which version is live, said by people: list, activate, roll back, pin, unpin.

Knows the coordination keys; knows nothing about what a version holds beyond its manifest. Every
change is one transaction, the same that the service makes for its administrators.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from model.contract.artifact import ArtifactError, parse_manifest
from model.contract.keys import KeySpace
from training.publish.connection import Client, Transaction, text
from training.publish.errors import PublishError, UnknownVersionError
from training.publish.versions import point_at


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """One version of a namespace."""

    version: str
    published_at: datetime
    roles: tuple[str, ...]
    """Of `current`, `previous` and `pinned`."""
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
            self._check_stored(pipe, version)
            pipe.multi()
            if before != version.encode():
                point_at(pipe, self._keys, version, before)
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
            pipe.multi()
            point_at(pipe, self._keys, text(previous), before)
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

    @property
    def _names(self) -> tuple[str, str, str]:
        return self._keys.current, self._keys.previous, self._keys.pinned

    def _named(self) -> list[str | None]:
        return [None if x is None else text(x) for x in self._client.mget(*self._names)]

    def _transaction(self, change: Callable[[Transaction], None]) -> None:
        self._client.transaction(change, *self._names, self._keys.versions)

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
