"""What a retraining does in Redis, under its lock: read the pointers, publish, leave its record.

Knows keys; knows nothing about training.
"""

# FOLDED training/retrain/ledger.py: What one retraining did: kept beside its model, and in Redis for the service's metrics.
#
#   Knows fields; knows nothing about how they came about.
#
# FOLDED training/retrain/ledger.py: Has a canary held for long enough to go live?
#
#   Knows the settings and what is recorded of a canary; whether it misbehaves is seen by the service.
#

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict

from model.artifact.manifest import EpochRecord
from model.registry.canary import Canary
from model.registry.keys import KeySpace
from model.registry.state import State
from training.evaluate.protocol import Evaluation
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
from training.publish.lock import RetrainLock
from training.publish.registry import Registry
from training.retrain.rules import Rule
from training.retrain.settings import CanarySettings

Result = Literal["promoted", "canary", "refused", "unchanged", "failed", "killed"]


class ChangedList(BaseModel):
    """What a user's first ten would gain and lose: titles, or ids of items without one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: str
    gone: list[str]
    came: list[str]


class RunRecord(BaseModel):
    """One run, as far as it has come."""

    model_config = ConfigDict(extra="forbid")

    run_id: str
    namespace: str
    started_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    step: str = "begin"
    """The step that it is at, or ended in."""
    result: Result | None = None
    """None while it runs, or if it was killed and no later run has noticed."""
    reason: str = ""
    champion: str | None = None
    """The version that was live when it began."""
    comparable: str = ""
    """Why the champion could not be compared or gone on from; empty if it could."""
    warm: bool = False
    version: str | None = None
    """What it made, live or not."""
    live: bool = False
    """Whether the pointer was moved to it."""
    inputs: str = ""
    """Digest of the data folder and of the settings: with it and no new events, nothing is new."""
    events: int = 0
    """In the log."""
    newest_event: AwareDatetime | None = None
    """When the newest of them was received."""
    new_events: int = 0
    """Of those, since the champion's run."""
    data: dict[str, int] = {}
    """Rows by what they are, users and items."""
    density: float | None = None
    """Share of all user-item combinations that are positive."""
    rejected: dict[str, int] = {}
    """Entries and events that cannot be used, by reason."""
    rules: list[Rule] = []
    metrics: dict[str, dict[str, float]] = {}
    """Of `challenger`, `champion` and `popular`: flat names as in the manifest."""
    seconds: dict[str, float] = {}
    """By step."""
    peak_mb: float = 0.0
    """MB (10^6 bytes) of memory."""
    history: list[EpochRecord] = []
    experts: list[str] = []
    """In the order of the history's shares."""
    changed: list[ChangedList] = []
    """Examples, the live model against the new one."""
    best_epoch: int = 0
    trigger_epoch: int | None = None
    last_promoted_at: AwareDatetime | None = None
    """When a run last promoted a model in this namespace, this one included."""

    def end(self, result: Result, reason: str) -> None:
        """Set what came of it."""
        self.result, self.reason = result, reason
        self.finished_at = datetime.now(UTC)
        if result == "promoted":
            self.last_promoted_at = self.finished_at


def flat_metrics(evaluation: Evaluation) -> dict[str, float]:
    """`ndcg@20`, `tail items/ndcg@20`, ..., and how many users."""
    flat = {"users": float(len(evaluation.users)), **evaluation.metrics}
    for group, values in evaluation.groups.items():
        flat |= {f"{group}/{name}": value for name, value in values.items()}
    return {name: value for name, value in flat.items() if np.isfinite(value)}


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

    @property
    def _registry(self) -> Registry:
        return Registry(self._client, self._keys)

    def _versions(self) -> State:
        with self._explaining():
            return self._registry.state()

    def live(self) -> str | None:
        """The version that is served."""
        return self._versions().live

    def named(self) -> set[str]:
        """Versions that are live, previous, pinned, or run as a canary."""
        return self._versions().in_a_role

    def canary(self) -> tuple[Canary, int] | None:
        """The running canary, and how many answers it has given."""
        state = self._versions()
        return None if state.running is None else (state.running, state.canary_answers)

    def canary_version(self) -> str | None:
        """The version that serves a share of the users."""
        return self._versions().roles["canary"]

    def promote(self, canary: Canary) -> bool:
        """Make a canary live, unless it has ended meanwhile; whether it was."""
        with self._explaining():
            return self._registry.promote_canary(canary, self._lock)

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


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is to become of this run, now that an earlier canary has been dealt with."""

    wait: str = ""
    """Why it is to make no model; empty if it may."""
    promoted_at: datetime | None = None


def settle(ledger: Ledger, settings: CanarySettings) -> Settled:
    """Promote a canary that has held; one that has ended stands in nobody's way."""
    running = ledger.canary()
    if running is None:
        return Settled()
    canary, answers = running
    now = datetime.now(UTC)
    wait = verdict(canary, answers, now, settings)
    if wait is not None:
        return Settled(wait=wait)
    if not ledger.promote(canary):
        return Settled()
    log.info(f"the canary {canary.version} has held for {answers} answers and is live")
    return Settled(promoted_at=now)


def verdict(canary: Canary, answers: int, now: datetime, settings: CanarySettings) -> str | None:
    """Why a running canary is not to be promoted yet, for people; None if it is."""
    name = f"the canary {canary.version} serves {canary.share:.1%} of the users"
    if settings.share == 0:
        return f"{name}, and no settings say when to promote it: `promote` it or `canary --stop`"
    ready_at = canary.started_at + timedelta(minutes=settings.min_minutes)
    if now < ready_at:
        return f"{name} and is to do so until {ready_at:%Y-%m-%d %H:%M} UTC at least"
    if answers < settings.min_answers:
        return f"{name} and has given {answers} answers, at least {settings.min_answers} are needed"
    return None
