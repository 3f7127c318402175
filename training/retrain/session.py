"""What a retraining does in Redis, under the lock of its namespace."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.registry.items import ItemRecord
from model.registry.keys import KeySpace
from training.feedback.stream import FeedbackStream
from training.publish import PublishPolicy, publish_artifact
from training.publish.connection import (
    Client,
    PublishError,
    Transaction,
    address_of,
    connected,
    explaining,
)
from training.publish.erasures import ErasureRecords
from training.publish.lock import RetrainLock
from training.publish.registry import Registry
from training.retrain.runs import RunRecord

_RECORDS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class RetrainSession:
    """One namespace, for the one retraining that holds its lock."""

    client: Client
    redis_url: str
    keys: KeySpace
    lock: RetrainLock

    @classmethod
    @contextmanager
    def open(
        cls, redis_url: str, namespace: str, lock_seconds: float
    ) -> Iterator["RetrainSession"]:
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

    def explaining(self) -> AbstractContextManager[None]:
        """Turn redis-py's errors into PublishErrors, of which LockLostError is one."""
        return explaining(str(address_of(self.redis_url)))

    @property
    def registry(self) -> Registry:
        """The published versions."""
        return Registry(self.client, self.keys)

    @property
    def erasures(self) -> ErasureRecords:
        """Users who are to be forgotten, or have been."""
        return ErasureRecords(self.client, self.keys)

    @property
    def stream(self) -> FeedbackStream:
        """The feedback stream."""
        return FeedbackStream(self.client, self.keys)

    def items(self) -> list[ItemRecord]:
        """The items that the API has put; a record that cannot be read is left out."""
        client: Any = self.client
        found = client.hscan_iter(self.keys.items, count=_RECORDS_AT_ONCE)
        records = (ItemRecord.parse(text) for _, text in found)
        return [record for record in records if record is not None]

    def publish(self, artifact: Path, policy: PublishPolicy) -> None:
        """Publish, unless the lock is lost by then."""
        publish_artifact(
            artifact, self.redis_url, self.keys.namespace, policy=policy, within=self.lock
        )

    def announce(self, record: RunRecord) -> None:
        """Write the record where the service finds it; PublishError."""

        def put(pipe: Transaction) -> None:
            pipe.multi()
            pipe.set(
                self.keys.runs,
                record.model_dump_json(exclude={"history", "changed", "capped_users"}),
            )

        with self.explaining():
            self.lock.guard(put)
