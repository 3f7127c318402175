import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from model.registry.records import SHOWN_ONLY, FeedbackEvent, ReportedEvent

CLICK = {
    "event_id": "a1",
    "user_id": "196",
    "item_id": "242",
    "type": "click",
    "timestamp": "2026-01-01T12:00:00Z",
}


def test_an_event_survives_the_stream() -> None:
    reported = ReportedEvent.model_validate(
        CLICK | {"model_version": "v1", "variant": "challenger", "rank": 3}
    )
    received_at = datetime(2026, 1, 1, 14, 0, 1, tzinfo=timezone(timedelta(hours=2)))
    event = FeedbackEvent.of(reported, received_at)
    restored = FeedbackEvent.model_validate_json(event.model_dump_json())
    assert restored == event
    assert restored.received_at - restored.timestamp == timedelta(seconds=1)


def test_what_a_client_need_not_say_is_none() -> None:
    event = FeedbackEvent.of(ReportedEvent.model_validate(CLICK), datetime.now(UTC))
    assert json.loads(event.model_dump_json())["rank"] is None
    assert (event.model_version, event.variant) == (None, None)


def test_what_a_newer_service_says_besides_is_ignored() -> None:
    event = FeedbackEvent.of(ReportedEvent.model_validate(CLICK), datetime.now(UTC))
    fields = json.loads(event.model_dump_json())
    assert FeedbackEvent.model_validate(fields | {"colour": "red"}) == event


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", ""),
        ("event_id", "e" * 129),
        ("user_id", ""),
        ("item_id", "i" * 257),
        ("type", "clik"),
        ("timestamp", "2026-01-01T12:00:00"),
        ("timestamp", "yesterday"),
        ("timestamp", 1_767_268_800),
        ("rank", 0),
        ("rank", "3"),
        ("variant", "winner"),
        ("request_id", "r" * 65),
        ("colour", "red"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refusal:
        ReportedEvent.model_validate(CLICK | {field: value})
    assert [fault["loc"] for fault in refusal.value.errors()] == [(field,)]


def test_an_item_that_was_only_shown_has_not_been_seen() -> None:
    assert frozenset({"impression"}) == SHOWN_ONLY
