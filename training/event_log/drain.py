"""Takes the stream over into the log: written, on the disk, then acknowledged.

Knows the order of the steps, which is what makes it exactly once: an event that was written but
not acknowledged is delivered again, and its id is known by then.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from training.event_log.log import EventLog
from training.event_log.schema import parse
from training.event_log.stream import FeedbackStream

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """Counts of one drain."""

    events: int = 0
    """New in the log."""
    duplicates: int = 0
    """Known already, by their ids."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Entries that were no events, by what was wrong with them; they are kept apart."""

    @property
    def rejected(self) -> int:
        """Entries that were no events."""
        return sum(self.reasons.values())


def drain(stream: FeedbackStream, into: EventLog) -> Drained:
    """Empty the stream into the log.

    Raises:
        EventLogError: another process is writing to the log, or it is damaged.
    """
    entries = added = 0
    reasons: Counter[str] = Counter()
    with into.writing() as writer:
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
