"""A stream with events as the service writes them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from model.registry.keys import KeySpace
from model.registry.records import EVENT_FIELD, FeedbackEvent
from training.feedback.log import EventLog

START = datetime(2026, 1, 30, 23, 0, tzinfo=UTC)


def event_of(number: int, **changes: object) -> FeedbackEvent:
    """One event an hour, so that a run of them covers several days."""
    at = START + timedelta(hours=number)
    fields: dict[str, object] = {
        "event_id": f"e{number}",
        "user_id": f"u{number % 3}",
        "item_id": f"i{number % 5}",
        "type": "click",
        "timestamp": at,
        "received_at": at + timedelta(seconds=1),
    }
    return FeedbackEvent.model_validate(fields | changes)


@pytest.fixture
def send(client: redis.Redis) -> Callable[..., None]:
    """Put events into the stream as the service does."""

    def send(*numbers: int, **changes: object) -> None:
        for number in numbers:
            event = event_of(number, **changes)
            client.xadd(KeySpace().feedback, {EVENT_FIELD: event.model_dump_json()})

    return send


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "log")


@pytest.fixture(scope="session")
def make_event() -> Callable[..., FeedbackEvent]:
    return event_of
