"""`fit --publish-early`: what stands in the folder and in Redis while a model trains, and after."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from deploy.cli.app import main
from model.artifact.files import read_artifact
from model.artifact.manifest import ArtifactManifest, EpochRecord
from model.registry.keys import KeySpace
from training.cli.fit import Outputs, fit
from training.data.dataset import DataConfig
from training.fit import trainer
from training.fit.config import TrainingConfig
from training.publish import PublishPolicy, live_version, publish_artifact

KEYS = KeySpace()
CONFIG = TrainingConfig(max_epochs=2, embedding_dim=8, batch_size=64)
QUICK = ["--max-epochs", "2", "--embedding-dim", "8", "--batch-size", "64"]


class Killed(BaseException):
    """Stands for a kill."""


@pytest.fixture
def command(tiny_data: Path, tmp_path: Path) -> list[str]:
    out = str(tmp_path / "out")
    return ["fit", "--data", str(tiny_data), "--out", out, *QUICK, "--publish-early"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def after_the_first_epoch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Lets the test look at what is there in the middle of both trainings."""

    def arrange(look: Callable[[], None]) -> None:
        run_epoch = trainer._Run.epoch

        def epoch(run: trainer._Run) -> EpochRecord:
            record = run_epoch(run)
            if record.epoch == 1:
                look()
            return record

        monkeypatch.setattr(trainer._Run, "epoch", epoch)

    return arrange


def manifest(folder: Path) -> ArtifactManifest:
    return read_artifact(folder).manifest


def test_an_early_model_is_live_until_the_finished_one_is(
    command: list[str],
    out: Path,
    redis_url: str,
    client: redis.Redis,
    after_the_first_epoch: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    seen: list[ArtifactManifest] = []

    def look() -> None:
        seen.append(manifest(out))
        assert live_version(redis_url) == seen[-1].model_version

    after_the_first_epoch(look)
    assert main([*command, "--redis-url", redis_url]) == 0
    early, found = seen
    assert early.training.early
    assert (early.training.best_epoch, early.training.history) == (0, [])
    assert early.metrics["valid/ndcg@20"] > 0
    assert not any(name.startswith("test/") for name in early.metrics)
    assert "early model after" in caplog.text
    assert f"validation NDCG@20 {early.metrics['valid/ndcg@20']:.4f}, the most" in caplog.text
    assert found.training.early  # chosen by validation, while the one to serve still trains
    assert [record.epoch for record in found.training.history] == [1, 2]
    assert found.metrics["test/ndcg@20"] > 0
    assert early.metrics["baseline/popularity/valid/ndcg@20"] < early.metrics["valid/ndcg@20"]
    finished = manifest(out)
    for name in ("popularity", "ItemKNN", "EASE"):
        for part in ("valid", "test"):
            assert 0 < finished.metrics[f"baseline/{name}/{part}/ndcg@20"] < 1
    assert not finished.training.early
    assert live_version(redis_url) == finished.model_version
    assert client.get(KEYS.previous) is None


def test_without_redis_it_is_written_only(
    command: list[str],
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    after_the_first_epoch: Callable[..., None],
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    after_the_first_epoch(lambda: stood.append(manifest(out)))
    stood: list[ArtifactManifest] = []
    assert main(command) == 0
    assert [each.training.early for each in [*stood, manifest(out)]] == [True, True, False]


def test_it_takes_no_finished_ones_place(
    command: list[str],
    out: Path,
    artifact_of: Callable[..., Path],
    redis_url: str,
    client: redis.Redis,
    after_the_first_epoch: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish_artifact(artifact_of("v1"), redis_url)
    lives: list[str | None] = []
    after_the_first_epoch(lambda: lives.append(live_version(redis_url)))
    for _ in range(2):
        assert main([*command, "--force", "--redis-url", redis_url]) == 0
        lives.append(live_version(redis_url))
    *during, first, still, still_first, second = lives
    assert during == ["v1", "v1"]
    assert still == first
    assert "training goes on without handing this model over: an early model waits" in caplog.text
    assert first == still_first
    assert f"{out} holds {first}, whose training was finished" in caplog.text
    assert second == manifest(out).model_version != first
    assert client.get(KEYS.previous) == str(first).encode()


def test_a_redis_that_fails_does_not_stop_the_training(
    command: list[str],
    out: Path,
    line: Callable[..., object],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = line(cut_after=24).url  # type: ignore[attr-defined]
    assert main([*command, "--redis-url", url]) == 1
    assert "training goes on without handing this model over: Redis at" in caplog.text
    assert not manifest(out).training.early
    assert f"only `magnet publish {out}` is left to do" in capsys.readouterr().err


def test_a_redis_that_is_away_is_noticed_before_training(
    command: list[str], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--redis-url", "redis://127.0.0.1:1"]) == 1
    assert "127.0.0.1:1 does not answer" in capsys.readouterr().err
    assert not out.exists()


def test_redis_without_publishing_makes_no_sense(
    command: list[str], redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command[:-1], "--redis-url", redis_url]) == 2
    assert "--redis-url needs --publish-early" in capsys.readouterr().err


def test_a_killed_training_goes_on_and_writes_no_model_twice(
    tiny_data: Path, out: Path, redis_url: str, after_the_first_epoch: Callable[..., None]
) -> None:
    data = DataConfig(folder=tiny_data)

    def kill() -> None:
        raise Killed

    published: list[str] = []

    def publish(folder: Path) -> None:
        policy = PublishPolicy(gives_way=True)
        published.append(publish_artifact(folder, redis_url, policy=policy))

    after_the_first_epoch(kill)
    for _ in range(2):
        with pytest.raises(Killed):
            fit(data, CONFIG, out, outputs=Outputs(on_early=publish))
    assert published == [manifest(out).model_version] * 2
    assert manifest(out).training.early
