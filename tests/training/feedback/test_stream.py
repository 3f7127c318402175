"""From the stream to the log: every event exactly once, whoever dies on the way."""

import itertools
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from deploy.cli.app import main
from model.registry.keys import KeySpace
from model.registry.records import EVENT_FIELD, FeedbackEvent
from training.feedback.log import EventLog, EventLogError
from training.feedback.stream import GROUP, Drained, FeedbackStream, drain

KEYS = KeySpace()


def stream_of(client: redis.Redis, **settings: object) -> FeedbackStream:
    return FeedbackStream(client, KEYS, **({"consumer": "us", "claim_idle_seconds": 0} | settings))


def ids(log: EventLog) -> list[str]:
    return log.read()["event_id"].to_list()


def test_what_was_sent_is_in_the_log_and_no_longer_in_the_stream(
    client: redis.Redis,
    send: Callable[..., None],
    log: EventLog,
    make_event: Callable[..., FeedbackEvent],
) -> None:
    send(0, model_version="v1", rank=3, variant="champion")
    send(*range(1, 30))
    assert drain(stream_of(client, batch_entries=7), log) == Drained(events=30)
    assert client.xlen(KEYS.feedback) == 0
    assert client.xpending(KEYS.feedback, GROUP)["pending"] == 0
    assert ids(log) == [f"e{n}" for n in range(30)]
    first = FeedbackEvent.model_validate(log.read().row(0, named=True))
    assert first == make_event(0, model_version="v1", rank=3, variant="champion")
    assert [str(day) for day in log.days()] == ["2026-01-30", "2026-01-31", "2026-02-01"]


def test_an_event_that_comes_twice_counts_once_for_ever(
    client: redis.Redis, send: Callable[..., None], log: EventLog
) -> None:
    send(1, 2, 1)
    assert drain(stream_of(client), log) == Drained(events=2, duplicates=1)
    send(2, 3)
    assert drain(stream_of(client), log) == Drained(events=1, duplicates=1)
    assert ids(log) == ["e1", "e2", "e3"]


def test_what_a_dead_consumer_took_is_taken_over(
    client: redis.Redis, send: Callable[..., None], log: EventLog
) -> None:
    send(*range(5))
    dead = stream_of(client, consumer="dead", batch_entries=2)
    assert len(next(dead.batches())) == 2
    patient = stream_of(client, claim_idle_seconds=3600)
    assert drain(patient, log) == Drained(events=3)
    assert len(patient) == 2
    assert drain(stream_of(client), log) == Drained(events=2)
    assert sorted(ids(log)) == [f"e{n}" for n in range(5)]


def test_our_own_unacknowledged_entries_come_first(
    client: redis.Redis, send: Callable[..., None], log: EventLog
) -> None:
    send(*range(3))
    next(stream_of(client).batches())
    send(3)
    assert drain(stream_of(client, claim_idle_seconds=3600), log) == Drained(events=4)
    assert ids(log) == ["e0", "e1", "e2", "e3"]


def test_entries_that_are_no_events_are_kept_apart(
    client: redis.Redis, send: Callable[..., None], log: EventLog
) -> None:
    client.xadd(KEYS.feedback, {EVENT_FIELD: b'{"event_id": "x"}'})
    client.xadd(KEYS.feedback, {EVENT_FIELD: b'{"event_id": "y"}'})
    client.xadd(KEYS.feedback, {"other": b"\xff"})
    send(1)
    drained = drain(stream_of(client), log)
    assert (drained.events, drained.rejected) == (1, 3)
    assert drained.reasons["user_id: Field required"] == 2
    assert client.xlen(KEYS.feedback) == 0
    missing, _, other = log.rejects().iter_rows(named=True)
    assert missing["reason"] == "user_id: Field required"
    assert missing["payload"] == b'{"event_id": "x"}'
    assert b"other" in other["payload"]


def test_a_stream_that_lost_its_group_is_read_from_the_start(
    client: redis.Redis, send: Callable[..., None], log: EventLog
) -> None:
    send(1)
    drain(stream_of(client), log)
    send(2)
    client.xgroup_destroy(KEYS.feedback, GROUP)
    assert drain(stream_of(client), log) == Drained(events=1)


@pytest.mark.timeout(300)
def test_killed_before_any_step(
    redis_url: str,
    client: redis.Redis,
    send: Callable[..., None],
    tmp_path: Path,
    killed_before: Callable[[int, list[str]], tuple[int, list[str]]],
) -> None:
    """Before every fsync, rename and command to Redis that a drain makes."""
    sent = [f"e{n}" for n in range(50)]
    for step in itertools.count(1):
        client.flushall()
        send(*range(50))
        log = EventLog(tmp_path / str(step))
        command = ["events", "drain", "--log", str(log.folder), "--redis-url", redis_url]
        status, steps = killed_before(step, command)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        assert set(ids(log)) <= set(sent)
        drain(stream_of(client), log)
        assert sorted(ids(log)) == sorted(sent), steps[-1]
        assert client.xlen(KEYS.feedback) == 0
    assert step > 20
    assert {"fsync", "replace", "send_packed_command"} <= set(steps)


def test_a_namespace_belongs_to_one_log(
    client: redis.Redis, send: Callable[..., None], log: EventLog, tmp_path: Path
) -> None:
    send(*range(3))
    drain(stream_of(client), log)
    send(*range(3, 5))
    stranger = EventLog(tmp_path / "stranger")
    with pytest.raises(EventLogError, match=rf"belong to the event log {log.folder} on .* claim"):
        drain(stream_of(client), stranger)
    assert (len(stream_of(client)), len(stranger.read())) == (2, 0)
    moved = EventLog(log.folder.rename(tmp_path / "moved"))
    assert drain(stream_of(client), moved) == Drained(events=2)


def test_a_lost_log_gives_its_namespace_up(
    client: redis.Redis, send: Callable[..., None], redis_url: str, tmp_path: Path, capsys
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    drain(stream_of(client), EventLog(first))
    send(7)
    command = ["--log", str(second), "--redis-url", redis_url]
    assert main(["events", "drain", *command]) == 1
    assert main(["events", "claim", *command]) == 0
    assert f"before: {first} on" in capsys.readouterr().out
    assert main(["events", "drain", *command]) == 0
    assert len(EventLog(second).read()) == 1
