"""The feedback stream in Redis, and its way into the log: each event exactly once.

Entries are taken by a consumer group, written to the log, and acknowledged once they are on disk.
What was written but not acknowledged is delivered again, and its id is known by then. What a dead
consumer took is taken over from it.
"""

import logging
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ResponseError

from model.registry.keys import KeySpace
from model.registry.records import EVENT_FIELD, FeedbackEvent, LogOwner
from training.feedback.log import Entry, EventLog, EventLogError, parse
from training.publish.connection import Client, connected, text
from training.publish.erasures import ErasureRecords, forget_event_ids

log = logging.getLogger(__name__)
GROUP = "event-log"
BATCH_ENTRIES = 10_000
"""Entries held at once: some 3 MB as JSON."""
CLAIM_IDLE_SECONDS = 60.0
"""How long another consumer may hold entries before they are taken over; a batch takes a living
one some seconds."""


class FeedbackStream:
    """The stream of one namespace, for one consumer: this machine."""

    def __init__(
        self,
        client: Client,
        keys: KeySpace,
        *,
        consumer: str | None = None,
        batch_entries: int = BATCH_ENTRIES,
        claim_idle_seconds: float = CLAIM_IDLE_SECONDS,
    ) -> None:
        self._client = client
        self._keys, self._key = keys, keys.feedback
        self._consumer = consumer or socket.gethostname()
        self._batch_entries = batch_entries
        self._claim_idle_ms = round(claim_idle_seconds * 1000)

    def __len__(self) -> int:
        """The number of entries that are not acknowledged yet."""
        return self._client.xlen(self._key)

    def owner(self) -> LogOwner | None:
        """The log that takes the events of this namespace; None before the first one has."""
        stored: Any = self._client.get(self._keys.event_log)
        return None if stored is None else LogOwner.model_validate_json(stored)

    def check_owner(self, owner: LogOwner) -> None:
        """Make this log the namespace's if none is; EventLogError if another one is."""
        self._client.set(self._keys.event_log, owner.model_dump_json(), nx=True)
        standing = self.owner()
        if standing is not None and standing.log_id != owner.log_id:
            namespace = self._keys.namespace
            raise EventLogError(
                f"the events of namespace {namespace!r} belong to the event log {standing.place} "
                f"since {standing.since:%Y-%m-%d}, not to {owner.place}; nothing was taken. Choose "
                "another namespace, or let this log have them from now on: magnet events claim "
                f"--log FOLDER --namespace {namespace}"
            )

    def give_to(self, owner: LogOwner) -> None:
        """Make a log the namespace's, whichever was it before."""
        self._client.set(self._keys.event_log, owner.model_dump_json())

    def batches(self) -> Iterator[list[Entry]]:
        """Entries that we took but did not acknowledge, those of dead consumers, then new ones.

        Acknowledge each batch before asking for the next. Ends when the stream has no full batch
        left, so that a steady inflow does not keep it going for ever.
        """
        try:
            # From the first entry: a group that was lost with its server then misses nothing.
            self._client.xgroup_create(self._key, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        while batch := self._read("0"):
            yield batch
        while batch := _entries(
            self._client.xautoclaim(
                self._key, GROUP, self._consumer, self._claim_idle_ms, count=self._batch_entries
            )[1]
        ):
            yield batch
        while batch := self._read(">"):
            yield batch
            if len(batch) < self._batch_entries:
                return

    def acknowledge(self, entries: Sequence[Entry]) -> None:
        """Delete entries that are on disk, all or none."""
        names = [entry.entry_id for entry in entries]
        with self._client.pipeline(transaction=True) as pipe:
            pipe.xack(self._key, GROUP, *names)
            pipe.xdel(self._key, *names)
            pipe.execute()

    def _read(self, after: str) -> list[Entry]:
        answer: Any = self._client.xreadgroup(
            GROUP, self._consumer, {self._key: after}, count=self._batch_entries
        )
        streams = answer.values() if isinstance(answer, dict) else [x for _, x in answer or ()]
        return [entry for found in streams for entry in _entries(found)]


def _entries(found: Any) -> list[Entry]:
    return [Entry(text(entry_id), fields or {}) for entry_id, fields in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """Counts of one drain."""

    events: int = 0
    """New in the log."""
    duplicates: int = 0
    """Events whose ids were in the log already."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Entries that were no events, by what was wrong with them; the log keeps them apart."""

    @property
    def rejected(self) -> int:
        """Entries that were no events."""
        return sum(self.reasons.values())


def drain(stream: FeedbackStream, into: EventLog) -> Drained:
    """Empty the stream into the log.

    Raises:
        EventLogError: the log is damaged or being written to, or the stream belongs to another.
    """
    entries = added = 0
    reasons: Counter[str] = Counter()
    with into.writing() as writer:
        stream.check_owner(writer.owner())
        for batch in stream.batches():
            events, rejects = parse(batch)
            added += len(writer.append(events))
            writer.reject(rejects)
            stream.acknowledge(batch)
            reasons.update(rejects["reason"].to_list())
            entries += len(events)
    drained = Drained(events=added, duplicates=entries - added, reasons=reasons)
    if drained.rejected:
        log.warning(
            f"{drained.rejected} entries of the feedback stream are no events; `events inspect` "
            "shows them"
        )
    return drained


def erase_from_log(client: Client, keys: KeySpace, log: EventLog) -> None:
    """Take users who are to be forgotten out of the log, and note that; EventLogError."""
    records = ErasureRecords(client, keys)
    # Also those that are marked as done: that may have been another log.
    waiting = [each for each in records.all() if each.user_id is not None]
    if waiting:
        with log.writing() as writer:
            gone = writer.erase({x.user_id: x.requested_at for x in waiting if x.user_id})
        forget_event_ids(client, keys, gone)
        records.mark("log", waiting)


def send(redis_url: str, namespace: str, events: Iterable[FeedbackEvent]) -> None:
    """Append events to the stream, as the service does: for simulations without a service."""
    with connected(redis_url) as client, client.pipeline(transaction=False) as pipe:
        for event in events:
            pipe.xadd(KeySpace(namespace).feedback, {EVENT_FIELD: event.model_dump_json()})
        pipe.execute()
