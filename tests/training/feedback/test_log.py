"""The log on disk: compaction, retention, and what happens to it when it is damaged or shared."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import polars as pl
import pytest

from model.registry.records import FeedbackEvent
from training.feedback.log import EVENTS, REJECTS, EventLog, EventLogError, Expired, LogWriter

TODAY = date(2026, 2, 2)


@pytest.fixture
def fill(log: EventLog, make_event: Callable[..., FeedbackEvent]) -> Callable[..., EventLog]:
    def fill(*numbers: int) -> EventLog:
        with log.writing() as writer:
            events = [make_event(number).model_dump() for number in numbers]
            writer.append(pl.DataFrame(events, schema=EVENTS))
        return log

    return fill


def files(log: EventLog) -> dict[str, int]:
    return {str(day): len(list(path.glob("*"))) for day, path in log.days().items()}


def test_an_empty_log_can_be_read(log: EventLog) -> None:
    assert log.read().schema == EVENTS
    assert len(log.read()) == len(log.rejects()) == log.num_bytes() == 0


def test_compaction_leaves_one_file_per_past_day_and_the_same_events(
    fill: Callable[..., EventLog],
) -> None:
    for number in range(60):
        log = fill(number)
    before = log.read()
    assert files(log) == {"2026-01-30": 1, "2026-01-31": 24, "2026-02-01": 24, "2026-02-02": 11}
    with log.writing() as writer:
        assert writer.compact(before=TODAY) == 2
        assert writer.compact(before=TODAY) == 0
    assert files(log) == {"2026-01-30": 1, "2026-01-31": 1, "2026-02-01": 1, "2026-02-02": 11}
    assert log.read().equals(before)


def test_a_compaction_that_was_killed_doubles_nothing(
    fill: Callable[..., EventLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = fill(1, 2)
    log = fill(3)
    with monkeypatch.context() as patched, log.writing() as writer:
        patched.setattr("pathlib.Path.unlink", _interrupted)
        with pytest.raises(InterruptedError):
            writer.compact(before=TODAY)
    assert files(log) == {"2026-01-31": 3}
    assert sorted(log.read()["event_id"]) == ["e1", "e2", "e3"]
    with log.writing() as writer:
        writer.compact(before=TODAY)
    assert files(log) == {"2026-01-31": 1}
    assert log.read()["event_id"].to_list() == ["e1", "e2", "e3"]


def _interrupted(*_: object) -> None:
    raise InterruptedError


def test_old_days_go_first(fill: Callable[..., EventLog]) -> None:
    log = fill(*range(60))
    with log.writing() as writer:
        assert writer.expire(keep_days=4, keep_mb=1, today=TODAY) == Expired()
        expired = writer.expire(keep_days=3, keep_mb=1, today=TODAY)
        assert expired == Expired((date(2026, 1, 30),), 1)
        size = log.num_bytes() / 1e6
        expired = writer.expire(keep_days=3, keep_mb=0.9 * size, today=TODAY)
        assert expired == Expired((date(2026, 1, 31),), 24)
        writer.expire(keep_days=3, keep_mb=0, today=TODAY)
    assert list(log.days()) == [TODAY]


def test_rejects_are_kept_within_the_same_limits(log: EventLog) -> None:
    def reject(writer: LogWriter, day: int) -> None:
        row = {
            "entry_id": f"{day}-0",
            "received_at": datetime(2026, 1, day, tzinfo=UTC),
            "reason": "no event",
            "payload": b"x",
        }
        writer.reject(pl.DataFrame([row], schema=REJECTS))

    with log.writing() as writer:
        for day in (10, 30, 31):
            reject(writer, day)
        writer.expire(keep_days=5, keep_mb=1, today=TODAY)
        assert log.rejects()["entry_id"].to_list() == ["30-0", "31-0"]
        size = sum(path.stat().st_size for path in log.folder.rglob("*.parquet")) / 1e6
        assert writer.expire(keep_days=5, keep_mb=0.9 * size, today=TODAY) == Expired()
    assert log.rejects()["entry_id"].to_list() == ["31-0"]


def test_one_writer_at_a_time(log: EventLog) -> None:
    with log.writing(), pytest.raises(EventLogError, match="another process"), log.writing():
        pass


def test_a_damaged_file_is_named(fill: Callable[..., EventLog]) -> None:
    log = fill(1, 30)
    part = sorted(log.folder.rglob("*.parquet"))[-1]
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(EventLogError, match=rf"^{part} cannot be read.*backup"):
        log.read()


def test_what_a_killed_write_left_is_cleared(fill: Callable[..., EventLog]) -> None:
    log = fill(1)
    left = log.days()[date(2026, 1, 31)] / ".part.parquet.partial"
    left.write_bytes(b"PAR1")
    assert len(log.read()) == 1
    with log.writing():
        assert not left.exists()
