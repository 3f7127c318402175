"""Versions and retraining of one namespace: the async driver of `model.registry`."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from model.artifact.files import ArtifactError, check_file
from model.artifact.manifest import ArtifactManifest
from model.artifact.report import REPORT
from model.registry.canary import Canary, Outcome
from model.registry.records import RetrainingSummary
from model.registry.state import CanaryRefused, Change, NotPublished, State
from service.schemas.errors import CanaryConflict, SourceUnavailable, UnknownVersion
from service.store.connection import transact
from service.store.foreign import or_else
from service.store.store import RedisStore

MAX_CHECKED_BYTES = 256 * 2**20
"""So much is read to find damage before a version is activated, a second or two. What is larger is
only checked for length; `magnet promote` and each replica, when it loads it, check all of it."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedVersion:
    """One version that was published as complete and has not been pruned."""

    version: str
    published_at: datetime
    manifest: ArtifactManifest | None
    """None if it is not usable."""


class Registry:
    """Every method raises SourceUnavailable."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._latest_run: RetrainingSummary | None = None
        self._refused_run: bytes | str | None = None

    async def state(self) -> State:
        """What is published, live, previous, pinned, and the latest canary."""
        with self._store.answering():
            return await self._read(self._store.client)

    async def versions(self, state: State, names: Sequence[str]) -> list[PublishedVersion]:
        """Some published versions, in the order in which they are named."""
        return [
            PublishedVersion(
                version=version,
                published_at=datetime.fromtimestamp(state.published_at[version], UTC),
                manifest=await self._manifest(version),
            )
            for version in names
        ]

    async def report(self, version: str) -> bytes | None:
        """The report of a version, JSON; None if it was made without.

        Raises:
            UnknownVersion: it is not there, or damaged.
        """
        try:
            manifest = await self._store.manifest(version)
            if REPORT not in manifest.files:
                return None
            data = await self._store.file(manifest, REPORT)
            check_file(REPORT, data, manifest)
        except ArtifactError as error:
            raise UnknownVersion(f"version {version!r} cannot be read: {error}") from error
        return data

    async def activate(self, version: str, *, pin: bool) -> State:
        """Make a version live, and pin it or lift the pin.

        Raises:
            UnknownVersion: it is not published, or not whole.
        """
        return await self._apply(lambda state: state.activate(version, _now(), pin=pin))

    async def unpin(self) -> State:
        """Let the next publish go live again."""
        return await self._apply(State.unpin)

    async def start_canary(self, version: str, share: float) -> State:
        """Let a version serve a share of the users, or change the canary's share.

        Raises:
            UnknownVersion: it is not published, or not whole.
            CanaryConflict: it is live, nothing is, a version is pinned, or another canary runs.
        """
        return await self._apply(lambda state: state.start_canary(version, share, _now()))

    async def end_canary(self, outcome: Outcome, reason: str, only: Canary | None = None) -> State:
        """End the running canary, if there is one; with `only`, no other than that one."""
        return await self._apply(lambda state: state.end_canary(outcome, reason, _now(), only))

    async def count_answers(self, version: str, answers: int) -> None:
        """Add to the answers of a canary."""
        client: Any = self._store.client
        with self._store.answering():
            await client.hincrby(self._store.keys.canary_answers, version, answers)

    async def latest_retraining(self) -> RetrainingSummary | None:
        """The latest retraining, if any. If its record cannot be read, the one read before."""
        key = self._store.keys.runs
        with self._store.answering():
            text = await or_else(self._store.client.get(key), key, b"")
        try:
            latest = None if text is None else RetrainingSummary.model_validate_json(text)
            self._latest_run = latest
        except ValidationError as error:
            if text != self._refused_run:
                _logger.warning("the record of the latest retraining is not usable: %s", error)
            self._refused_run = text
        return self._latest_run

    async def _apply(self, transition: Callable[[State], Change]) -> State:
        """Write a transition; what `has_to_be_whole` by it is checked before."""
        keys = self._store.keys
        if odd := await self._store.odd_keys({*keys.watched, keys.canary_answers}):
            raise SourceUnavailable("; ".join(odd))
        whole: set[str] = set()
        try:
            while True:
                change = await self._attempt(transition, whole)
                if change.has_to_be_whole <= whole:
                    return change.after
                for version in change.has_to_be_whole:
                    await self._check_whole(version)
                whole |= change.has_to_be_whole
        except NotPublished as error:
            raise UnknownVersion(str(error)) from error
        except CanaryRefused as error:
            raise CanaryConflict(str(error)) from error

    async def _attempt(self, transition: Callable[[State], Change], whole: set[str]) -> Change:
        """One transaction; it writes only if all that `has_to_be_whole` is in `whole`."""
        keys = self._store.keys
        changes: list[Change] = []

        async def step(pipe: Any) -> None:
            change = transition(await self._read(pipe))
            changes.append(change)
            pipe.multi()
            if change.has_to_be_whole <= whole:
                attempt.is_writing = True
                for command in change.commands(keys):
                    pipe.execute_command(*command)

        with self._store.writing() as attempt:
            attempt.is_writing = False  # before the transaction ends, it only reads
            await transact(self._store.client, step, *keys.watched)
        return changes[-1]

    async def _read(self, client: Any) -> State:
        """A key that holds something else counts as empty."""
        keys = self._store.keys
        return State.of(
            keys.namespace,
            # By its name: redis-py has no method `mget` in a cluster's transaction.
            await client.execute_command("MGET", *keys.pointers),
            await or_else(client.zrange(keys.versions, 0, -1, withscores=True), keys.versions, []),
            await or_else(client.hgetall(keys.canary_answers), keys.canary_answers, {}),
        )

    async def _check_whole(self, version: str) -> None:
        try:
            manifest = await self._store.manifest(version)
            await self._store.check_present(manifest)
            await self._store.check_sums(manifest, MAX_CHECKED_BYTES)
        except ArtifactError as error:
            raise NotPublished(f"version {version!r} is not whole: {error}") from error

    async def _manifest(self, version: str) -> ArtifactManifest | None:
        try:
            return await self._store.manifest(version)
        except ArtifactError:
            return None


def _now() -> datetime:
    return datetime.now(UTC)
