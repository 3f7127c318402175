"""Takes feedback in: checks times, remembers what was seen, hands events to training."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from model.registry.records import FeedbackEvent, ReportedEvent
from service.ops.metrics import Metrics
from service.schemas.errors import InvalidRequest
from service.schemas.responses import FeedbackReceipt
from service.serving.experiment_counter import ExperimentCounter
from service.serving.served import Models
from service.serving.snapshot import Snapshot
from service.store.shared_state import FeedbackStream

MAX_AHEAD = timedelta(minutes=5)
"""Clocks of phones and servers differ by less; an event further ahead would stay the newest in
every split by time."""
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""No shop reported events then: such a time is a misread one."""


async def keep_events(
    reported: Sequence[ReportedEvent],
    stream: FeedbackStream,
    models: Models | None,
    metrics: Metrics,
    experiment: ExperimentCounter,
) -> FeedbackReceipt:
    """Keep all events of a call, or none.

    Args:
        reported: events; those whose id was seen before are dropped.
        stream: where they are kept.
        models: say which ids the live model does not know, and which variant made a list if the
            client names only its version; None before there is a model.
        metrics: where the events are counted.
        experiment: where clicks on lists of a canary, and of the live model beside it, are counted.

    Raises:
        InvalidRequest: an event is said to come from the future, or from before 1970.
        FeedbackFull: training has not taken events over for too long.
        SourceUnavailable: Redis does not answer; the same call may be sent again.
    """
    now = datetime.now(UTC)
    for place, event in enumerate(reported):
        if not EARLIEST <= event.timestamp <= now + MAX_AHEAD:
            where = "before 1970" if event.timestamp < EARLIEST else "in the future"
            raise InvalidRequest.of(
                f"events.{place}.timestamp",
                f"{event.timestamp.isoformat()} is {where}; it is {now:%Y-%m-%dT%H:%M:%SZ}",
            )
    # In any order, as reported: their times tell.
    in_order = sorted(reported, key=lambda event: event.timestamp)
    events = [FeedbackEvent.of(_with_variant(event, models), now) for event in in_order]
    appended = await stream.append(events)
    # Also while the stream is full, and again for what is sent again: the first time it may have
    # come to nothing here.
    await stream.remember(events, appended.arrived)
    if appended.is_full:
        metrics.feedback.labels("refused").inc(len(events))
        raise stream.full(appended.waiting)
    duplicates = len(events) - appended.accepted
    metrics.feedback.labels("accepted").inc(appended.accepted)
    metrics.feedback.labels("duplicate").inc(duplicates)
    metrics.feedback_waiting.set(appended.waiting)
    await experiment.responded(models, appended.fresh)
    missing = [] if models is None else _missing(models.live.snapshot, reported)
    return FeedbackReceipt(accepted=appended.accepted, duplicates=duplicates, missing_ids=missing)


def _with_variant(event: ReportedEvent, models: Models | None) -> ReportedEvent:
    if event.variant is not None or models is None:
        return event
    return event.model_copy(update={"variant": models.variant_of(event.model_version)})


def _missing(snapshot: Snapshot, events: Sequence[ReportedEvent]) -> list[str]:
    """Users and items that the model does not know."""
    users = [event.user_id for event in events if snapshot.user_ids.row(event.user_id) is None]
    _, items = snapshot.items.rows([event.item_id for event in events])
    return list(dict.fromkeys(users + items))
