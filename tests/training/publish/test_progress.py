"""What a training tells of itself in Redis, and that it never suffers from telling."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from deploy.cli.app import main
from model.artifact.files import read_artifact
from model.artifact.manifest import EpochRecord
from model.registry.keys import KeySpace
from model.registry.progress import (
    EVENT_FIELD,
    KEPT_SECONDS,
    MOST_EVENTS,
    DataRead,
    EpochDone,
    ModelMade,
    RunBegan,
    RunEnded,
    StepBegan,
    TrainingEvent,
    parse_event,
)
from tests.waiting import until
from training.publish import progress
from training.publish.progress import Reporter

KEYS = KeySpace()
QUICK = ["--max-epochs", "2", "--embedding-dim", "8", "--batch-size", "64"]
EPOCH = EpochRecord(
    epoch=1,
    stage="encoders",
    loss=1.0,
    loss_terms={"ranking": 1.0},
    valid_ndcg20=0.1,
    coverage_entropy=1.0,
    pair_entropy=1.0,
    expert_shares=[1.0],
    seconds=0.5,
)


def told(client: redis.Redis) -> list[TrainingEvent]:
    events = [
        parse_event(fields[EVENT_FIELD.encode()]) for _, fields in client.xrange(KEYS.training)
    ]
    assert None not in events
    return [event for event in events if event is not None]


@pytest.fixture
def fit(tiny_data: Path, tmp_path: Path) -> Callable[..., int]:
    def run(*options: str) -> int:
        out = str(tmp_path / "out")
        return main(["fit", "--data", str(tiny_data), "--out", out, *QUICK, *options])

    return run


def test_a_training_tells_its_steps_its_epochs_and_its_models(
    fit: Callable[..., int], redis_url: str, client: redis.Redis, tmp_path: Path
) -> None:
    client.xadd(KEYS.training, {EVENT_FIELD: "of an earlier training"})
    assert fit("--publish-early", "--redis-url", redis_url) == 0
    events = told(client)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    began, *_, ended = events
    assert isinstance(began, RunBegan)
    assert began.what == "fit"
    assert isinstance(ended, RunEnded)
    assert ended.result == "finished"
    steps = [event.step for event in events if isinstance(event, StepBegan)]
    wanted = ["load", "train", "fusion", "evaluate", "everything", "export", "publish"]
    assert steps == wanted
    (data,) = (event for event in events if isinstance(event, DataRead))
    assert (data.users, data.items) == (60, 40)
    epochs = [event for event in events if isinstance(event, EpochDone)]
    assert [event.epoch for event in epochs if not event.everything] == [1, 2]
    assert epochs[0].valid_ndcg20 is not None
    assert len(data.experts) == len(epochs[0].expert_shares)
    assert epochs[1].seconds_left == 0
    assert epochs[-1].everything
    assert epochs[-1].valid_ndcg20 is None
    first, *_, last = (event for event in events if isinstance(event, ModelMade))
    assert (first.early, first.epochs, last.early) == (True, 0, False)
    assert first.popular_ndcg20 is not None
    assert first.valid_ndcg20 > first.popular_ndcg20 > 0
    assert last.model_version == read_artifact(tmp_path / "out").manifest.model_version
    assert 0 < client.ttl(KEYS.training) <= KEPT_SECONDS
    assert not client.exists(KEYS.training_alive)


def test_a_training_that_fails_says_so_without_the_reason(
    fit: Callable[..., int], redis_url: str, client: redis.Redis
) -> None:
    assert fit("--progress-url", redis_url, "--set", "learning_rate=1e30") == 1
    ended = told(client)[-1]
    assert isinstance(ended, RunEnded)
    assert (ended.result, ended.reason) == ("failed", "")


def test_a_stopped_training_says_so_and_one_that_runs_is_alive(
    redis_url: str, client: redis.Redis
) -> None:
    def run() -> None:
        with Reporter.open(redis_url, "default", "a", "fit"):
            until(lambda: client.get(KEYS.training_alive) == b"a")
            assert 0 < client.ttl(KEYS.training_alive) <= progress.SILENT_SECONDS
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert told(client)[-1].result == "stopped"


def test_nothing_waits_for_a_redis_that_is_away(fit: Callable[..., int], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # each wait would take seconds
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with Reporter.open(url, "default", "a", "fit") as reporter:
            for _ in range(MOST_EVENTS + 10):
                reporter.epoch(EPOCH, 100)
    assert fit("--progress-url", "redis://127.0.0.1:1") == 0
    assert (tmp_path / "out" / "manifest.json").exists()


def test_what_was_told_while_redis_was_away_comes_later(
    line: Callable[..., object],
    redis_url: str,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "PULSE_SECONDS", 0.05)
    url = line(cut_after=12, heals=True).url  # type: ignore[attr-defined]
    with Reporter.open(url, "default", "a", "fit") as reporter:
        for epoch in range(1, 30):
            reporter.epoch(EPOCH.model_copy(update={"epoch": epoch}), 100)
            time.sleep(0.01)
        until(lambda: client.xlen(KEYS.training) >= 30)
    numbers = [event.number for event in told(client)]
    assert sorted(set(numbers)) == list(range(1, 32))


def test_the_stream_is_bounded(redis_url: str, client: redis.Redis) -> None:
    with Reporter.open(redis_url, "default", "a", "fit") as reporter:
        for _ in range(MOST_EVENTS + 500):
            reporter.epoch(EPOCH, 100)
            if reporter._number % 500 == 0:
                until(lambda: not reporter._waiting)
    assert client.xlen(KEYS.training) == MOST_EVENTS
    assert client.memory_usage(KEYS.training) < 4e6
    assert isinstance(told(client)[-1], RunEnded)
