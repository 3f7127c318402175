"""What a retraining does in Redis, under its lock: read versions, publish, write its record."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from model.registry.canary import Canary
from model.registry.erasures import Erasure, Part
from model.registry.experiment import Experiment
from model.registry.items import ItemRecord
from model.registry.keys import KeySpace
from model.registry.state import State
from training.feedback.log import EventLog
from training.feedback.stream import FeedbackStream, erase_from_log
from training.publish import PublishPolicy, publish_artifact
from training.publish.connection import (
    Client,
    PublishError,
    Transaction,
    address_of,
    connected,
    explaining,
)
from training.publish.erasures import ErasureRecords, ids_of
from training.publish.lock import RetrainLock
from training.publish.registry import Registry
from training.publish.rewriting import rewrite_versions
from training.retrain.runs import RunRecord
from training.retrain.settings import CanarySettings

_RECORDS_AT_ONCE = 1_000


class Ledger:
    """One namespace, for the one retraining that holds its lock.

    Every method raises PublishError, of which LockLostError is one.
    """

    def __init__(self, client: Client, redis_url: str, keys: KeySpace, lock: RetrainLock) -> None:
        self._client, self._redis_url, self._keys, self._lock = client, redis_url, keys, lock

    @classmethod
    @contextmanager
    def open(cls, redis_url: str, namespace: str, lock_seconds: float) -> Iterator["Ledger"]:
        """Take the lock and keep it.

        Raises:
            LockHeldError: another retraining has it.
            PublishError: the server cannot be used.
        """
        try:
            keys = KeySpace(namespace)
        except ValueError as error:
            raise PublishError(str(error)) from error
        with (
            connected(redis_url) as client,
            RetrainLock(client, keys, lock_seconds=lock_seconds) as lock,
            lock.renewed(),
        ):
            yield cls(client, redis_url, keys, lock)

    def versions(self) -> State:
        """Which versions are live, previous, pinned, or run as a canary."""
        with self._explaining():
            return Registry(self._client, self._keys).state()

    def experiment(self, canary: Canary) -> Experiment:
        """What was counted of a canary's users and of the others."""
        with self._explaining():
            return Registry(self._client, self._keys).experiment(canary)

    def promote(self, canary: Canary) -> bool:
        """Make a canary live, unless it has ended meanwhile; whether it was."""
        with self._explaining():
            registry = Registry(self._client, self._keys)
            return registry.apply(
                lambda state: state.promote_canary(canary, datetime.now(UTC)), self._lock
            ).happened

    def _explaining(self) -> AbstractContextManager[None]:
        return explaining(str(address_of(self._redis_url)))

    def stream(self) -> FeedbackStream:
        """The feedback stream."""
        return FeedbackStream(self._client, self._keys)

    def items(self) -> list[ItemRecord]:
        """The items that the API has put; a record that cannot be read is left out."""
        client: Any = self._client
        with self._explaining():
            found = client.hscan_iter(self._keys.items, count=_RECORDS_AT_ONCE)
            records = (ItemRecord.parse(text) for _, text in found)
            return [record for record in records if record is not None]

    def erasures(self) -> list[Erasure]:
        """Users who are to be forgotten, or have been, oldest first."""
        with self._explaining():
            return ErasureRecords(self._client, self._keys).all()

    def erase_from_redis(self, erasures: Sequence[Erasure], number: int) -> None:
        """Take users out of every stored version."""
        with self._explaining():
            rewrite_versions(self._client, self._keys, ids_of(erasures), number, self._lock)

    def erase_from_log(self, events: EventLog) -> None:
        """Take users out of the event log, and note that."""
        with self._explaining():
            erase_from_log(self._client, self._keys, events)

    def note_erased(self, part: Part, erasures: Sequence[Erasure]) -> None:
        """Note that a part of some erasures is done."""
        with self._explaining():
            ErasureRecords(self._client, self._keys).mark(part, erasures)

    def drop_old_erasures(self) -> None:
        """Remove the records of erasures that were done long ago."""
        with self._explaining():
            ErasureRecords(self._client, self._keys).drop_outdated()

    def check_lock(self) -> None:
        """Raise LockLostError if another retraining may have begun."""
        with self._explaining():
            self._lock.renew()

    def publish(self, artifact: Path, policy: PublishPolicy) -> None:
        """Publish, unless the lock is lost by then."""
        publish_artifact(
            artifact, self._redis_url, self._keys.namespace, policy=policy, within=self._lock
        )

    def announce(self, record: RunRecord) -> None:
        """Write the record where the service finds it."""

        def put(pipe: Transaction) -> None:
            pipe.multi()
            pipe.set(
                self._keys.runs,
                record.model_dump_json(exclude={"history", "changed", "capped_users"}),
            )

        with self._explaining():
            self._lock.guard(put)


def verdict(
    canary: Canary,
    answers: int,
    now: datetime,
    settings: CanarySettings,
    experiment: Experiment,
) -> str | None:
    """Why a running canary must not be promoted yet, for people; None if it may be."""
    name = f"the canary {canary.version} serves {canary.share:.1%} of the users"
    if settings.share == 0:
        return f"{name}, and no settings say when to promote it: `promote` it or `canary --stop`"
    ready_at = canary.started_at + timedelta(minutes=settings.min_minutes)
    if now < ready_at:
        return f"{name} and is to do so until {ready_at:%Y-%m-%d %H:%M} UTC at least"
    if answers < settings.min_answers:
        return f"{name} and has given {answers} answers, at least {settings.min_answers} are needed"
    if settings.if_better and experiment.verdict != "challenger better":
        return f"{name} and must be better first. {experiment.summary} `canary --stop` ends it"
    return None
