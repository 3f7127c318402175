"""What the service tells of retrainings: whatever the trainer writes, every replica shows."""

import json
import time
from datetime import UTC, datetime

import pytest
import redis

from model.registry.keys import KeySpace
from service.ops.settings import Settings
from training.retrain.runs import RunRecord

BEGUN = datetime(2026, 1, 1, 3, 17, tzinfo=UTC)


@pytest.fixture
def record(redis_url: str):
    """Writes a record as the trainer does."""
    with redis.Redis.from_url(redis_url) as client:

        def write(**fields: object) -> None:
            run = RunRecord(run_id="r1", namespace="default", started_at=BEGUN, **fields)
            client.set(KeySpace().runs, run.model_dump_json(exclude={"history"}))

        yield write


@pytest.fixture
def service(serving, publish, artifact, redis_url: str):
    publish(redis_url, artifact)
    with serving(Settings(redis_url=redis_url, poll_seconds=0.05)) as one:
        yield one


def test_nothing_is_known_before_the_first(service) -> None:
    text = service.get("/metrics").text
    assert "magnet_retrain_started_timestamp_seconds NaN" in text
    assert "magnet_retrain_info{" not in text


def test_a_promotion_is_told(service, record, until) -> None:
    ended = BEGUN.replace(minute=20)
    record(
        finished_at=ended,
        result="promoted",
        reason="v2 passed all rules",
        data={"events drained": 12},
        last_promoted_at=ended,
    )
    sample = 'magnet_retrain_info{reason="v2 passed all rules",result="promoted",run="r1"}'
    until(lambda: service.metric(sample) == 1)
    assert service.metric("magnet_retrain_duration_seconds") == 180
    assert service.metric("magnet_retrain_started_timestamp_seconds") == BEGUN.timestamp()
    assert service.metric("magnet_retrain_promoted_timestamp_seconds") == ended.timestamp()
    assert service.metric('magnet_retrain_rows{rows="events drained"}') == 12


def test_one_that_runs_replaces_the_last(service, record, until) -> None:
    record(finished_at=BEGUN.replace(minute=20), result="refused", reason="x" * 5000)
    until(lambda: 'result="refused"' in service.get("/metrics").text)
    assert f'reason="{"x" * 200}"' in service.get("/metrics").text
    record()
    until(lambda: service.metric('magnet_retrain_info{reason="",result="running",run="r1"}') == 1)
    text = service.get("/metrics").text
    assert 'result="refused"' not in text
    assert "magnet_retrain_duration_seconds NaN" in text


def test_a_record_of_another_kind_changes_nothing(service, record, redis_url, until) -> None:
    record(finished_at=BEGUN, result="unchanged")
    until(lambda: 'result="unchanged"' in service.get("/metrics").text)
    with redis.Redis.from_url(redis_url) as client:
        client.set(KeySpace().runs, json.dumps({"run_id": 5}))
    time.sleep(0.3)
    assert 'result="unchanged"' in service.get("/metrics").text
    until(lambda: service.get("/readyz").status_code == 200)
