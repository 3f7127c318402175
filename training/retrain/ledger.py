"""What a retraining does in Redis, under its lock: read the pointers, publish, leave its record.

Knows keys; knows nothing about training.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from model.contract.canary import Canary
from model.contract.keys import KeySpace
from training.event_log.stream import FeedbackStream
from training.publish import PublishPolicy, publish_artifact
from training.publish.connection import Client, Transaction, address_of, connected
from training.publish.control import Control
from training.publish.errors import PublishError, explaining
from training.publish.lock import RetrainLock
from training.publish.versions import VersionShelf
from training.retrain.record import RunRecord


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

    def live(self) -> str | None:
        """The version that is served."""
        with self._explaining():
            return VersionShelf(self._client, self._keys).live()

    def named(self) -> set[str]:
        """Versions that are live, were before, are pinned, or run as a canary."""
        with self._explaining():
            return VersionShelf(self._client, self._keys).named()

    def canary(self) -> tuple[Canary, int] | None:
        """The running canary, and how many answers it has given."""
        with self._explaining():
            found = Control(self._client, self._keys).canary()
        return found if found is not None and found[0].outcome is None else None

    def canary_version(self) -> str | None:
        """The version that serves a share of the users."""
        running = self.canary()
        return None if running is None else running[0].version

    def promote(self, canary: Canary) -> bool:
        """Make a canary live, unless it has ended meanwhile; whether it was."""
        with self._explaining():
            return VersionShelf(self._client, self._keys).promote_canary(canary, self._lock)

    def _explaining(self) -> AbstractContextManager[None]:
        return explaining(str(address_of(self._redis_url)))

    def stream(self) -> FeedbackStream:
        """The feedback stream."""
        return FeedbackStream(self._client, self._keys)

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
        """Leave the record where the service finds it."""

        def put(pipe: Transaction) -> None:
            pipe.multi()
            pipe.set(self._keys.runs, record.model_dump_json(exclude={"history"}))

        with self._explaining():
            self._lock.guard(put)
