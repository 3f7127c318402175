"""Retrained models that are tried on a share of the users first, and promoted by the next run."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from deploy.cli.app import main
from model.registry.canary import Canary
from model.registry.experiment import Experiment
from model.registry.keys import KeySpace
from training.retrain.rules import verdict
from training.retrain.runs import RunRecord, Runs
from training.retrain.settings import CanarySettings

KEYS = KeySpace()
NOW = datetime(2026, 1, 2, tzinfo=UTC)
CANARY = Canary(version="v2", share=0.05, started_at=NOW - timedelta(hours=12))
SETTINGS = CanarySettings(share=0.05)


@pytest.fixture
def run(config_file: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The last line of a run that ends well."""

    def run(*options: str) -> str:
        assert main(["retrain", "--config", str(config_file), *options]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    return run


def latest(client: redis.Redis) -> Canary:
    canary = Canary.parse(client.get(KEYS.canary))
    assert canary is not None
    return canary


def announced(client: redis.Redis) -> RunRecord:
    return RunRecord.model_validate_json(client.get(KEYS.runs))


@pytest.mark.timeout(300)
def test_a_model_that_passes_is_tried_and_the_next_run_promotes_it(
    run: Callable[..., str],
    config_file: Path,
    state: Path,
    client: redis.Redis,
    click: Callable[..., None],
    redis_url: str,
) -> None:
    settings = config_file.read_text()
    config_file.write_text(settings + "\n[canary]\nshare = 0.2\nmin_minutes = 0\nmin_answers = 5\n")
    assert run().startswith("promoted: ")  # there was nothing to stand beside
    first = announced(client)

    click(("u002", "i024"))
    said = run()
    second = announced(client)
    assert said == f"canary: {second.version} passed all rules and serves 20.0% of the users"
    assert (second.result, second.live) == ("canary", False)
    assert second.last_promoted_at == first.finished_at
    assert (latest(client).version, latest(client).share) == (second.version, 0.2)
    assert client.get(KEYS.current).decode() == first.version

    click(("u004", "i026"))
    said = run()
    assert said.startswith(f"unchanged: the canary {second.version} serves 20.0% of the users and")
    assert said.endswith("has given 0 answers, at least 5 are needed")
    assert client.xlen(KEYS.feedback) == 0  # what came in is safe, and trained on next time

    client.hset(KEYS.canary_answers, second.version, 5)
    assert run("--dry-run")  # says so, and changes nothing
    assert latest(client).outcome is None
    assert main(["canary", second.version, "--share", "0.4", "--redis-url", redis_url]) == 0
    said = run()
    third = announced(client)
    assert said.startswith(f"canary: {third.version} passed all rules")
    assert third.champion == second.version
    assert third.last_promoted_at is not None
    assert first.finished_at is not None
    assert third.last_promoted_at > first.finished_at
    assert client.mget(KEYS.current, KEYS.previous) == [
        second.version.encode(),
        first.version.encode(),
    ]
    assert (latest(client).version, latest(client).outcome) == (third.version, None)
    assert (state / "runs" / third.run_id / "weights.pt").exists()


@pytest.mark.parametrize(
    ("answers", "hours", "settings", "said"),
    [
        (500, 0, SETTINGS, None),
        (499, 0, SETTINGS, r"has given 499 answers, at least 500 are needed$"),
        (500, -0.1, SETTINGS, r"is to do so until 2026-01-02 00:00 UTC at least$"),
        (10_000, 100, CanarySettings(), r"`promote` it or `canary --stop`$"),
    ],
)
def test_it_is_promoted_when_it_has_held_for_long_enough(
    answers: int, hours: float, settings: CanarySettings, said: str | None
) -> None:
    wait = verdict(CANARY, answers, NOW + timedelta(hours=hours), settings, Experiment.of({}))
    if said is None:
        assert wait is None
    else:
        assert wait is not None
        assert re.search(said, wait)
        assert "the canary v2 serves 5.0% of the users" in wait


@pytest.mark.parametrize(("clicked", "wait"), [(200, None), (101, "Undecided: ")])
def test_it_may_have_to_be_better(clicked: int, wait: str | None) -> None:
    counts = {"champion:users": 1000, "challenger:users": 1000, "champion:users_clicked": 100}
    counts["challenger:users_clicked"] = clicked
    found = Experiment.of({key.encode(): str(count).encode() for key, count in counts.items()})
    settings = SETTINGS.model_copy(update={"if_better": True})
    said = verdict(CANARY, 500, NOW, settings, found)
    assert said is wait if wait is None or said is None else wait in said
    assert verdict(CANARY, 500, NOW, SETTINGS, found) is None


def test_a_run_that_was_killed_when_its_model_was_a_canary_says_so(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    folder, record = runs.begin("default")
    record.version, record.step = "v2", "publish"
    folder.artifact.mkdir()
    folder.write(record)
    runs.clean(1, {"v1", "v2"}, "v2")
    after = folder.read()
    assert after is not None
    assert (after.result, after.live) == ("canary", False)
    assert after.last_promoted_at is None
    assert folder.artifact.exists()
