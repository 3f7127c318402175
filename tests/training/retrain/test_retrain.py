"""Whole runs of the command against a real server."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import PIPE

import pytest
import redis
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from deploy.cli.app import main
from model.artifact.files import read_artifact
from model.artifact.tables import IdTable
from model.registry.keys import KeySpace
from model.registry.progress import EVENT_FIELD, EpochDone, RunEnded, StepBegan, parse_event
from model.tracing.otel import Traces
from training.feedback.log import EventLog
from training.feedback.stream import FeedbackStream
from training.publish.lock import RetrainLock
from training.retrain.live_model import SavedWeights
from training.retrain.runs import RunRecord, Runs

KEYS = KeySpace()
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(config_file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Status and output of one run."""

    def run(*options: str, **changes: str) -> tuple[int, str]:
        for old, new in changes.items():
            text = re.sub(rf"(?m)^{old} = .*$", f"{old} = {new}", config_file.read_text())
            assert f"{old} = {new}" in text
            config_file.write_text(text)
        status = main(["retrain", "--config", str(config_file), *options])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def records(state: Path) -> list[RunRecord]:
    paths = sorted((state / "runs").glob("*/run.json"))
    return [RunRecord.model_validate_json(path.read_bytes()) for path in paths]


def announced(client: redis.Redis) -> RunRecord:
    return RunRecord.model_validate_json(client.get(KEYS.runs))


def live(client: redis.Redis) -> str:
    return client.get(KEYS.current).decode()


@pytest.mark.timeout(300)
def test_the_first_runs_of_a_namespace(
    run: Run,
    state: Path,
    client: redis.Redis,
    click: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    click(("u000", "i021"), ("u001", "i020"), ("newcomer", "i000"), ("newcomer", "i002"))
    click(("newcomer", "brand-new"), kind="purchase")
    status, out = run()
    assert status == 0, out
    assert out.splitlines()[-1].startswith("promoted: ")
    assert "training from scratch: nothing is live yet" in caplog.messages
    first = announced(client)
    assert first.result == "promoted"
    assert first.live
    assert not first.warm
    assert first.comparable == "nothing is live yet"
    assert first.version == live(client)
    assert first.data["new users"] == first.data["new items"] == 1
    assert client.xlen(KEYS.feedback) == 0
    told = [parse_event(x[EVENT_FIELD.encode()]) for _, x in client.xrange(KEYS.training)]
    assert {event.run_id for event in told} == {first.run_id}
    steps = [event.step for event in told if isinstance(event, StepBegan)]
    assert set(first.seconds) <= set(steps)
    assert steps[-1] == "publish"
    assert isinstance(told[-1], RunEnded)
    assert told[-1].result == "promoted"
    epochs = [x.epoch for x in told if isinstance(x, EpochDone) and not x.everything]
    assert epochs == [record.epoch for record in records(state)[0].history]
    assert set(first.seconds) == {
        "drain", "erase", "canary", "assemble", "load", "train", "evaluate", "export", "gate",
        "publish",
    }  # fmt: skip
    artifact = read_artifact(state / "runs" / first.run_id / "artifact")
    tensors = artifact.tensors
    assert artifact.manifest.training.held_out == "trained"
    assert artifact.manifest.events_until == first.events_until
    before_start = (first.started_at - first.events_until).total_seconds()
    assert 0 < before_start <= 60, "events that were on their way may not be in the log"
    margin = (artifact.manifest.items_until - first.events_until).total_seconds()
    reading = first.seconds["drain"] + first.seconds["erase"]
    assert 0 <= margin <= reading + 60, "then they were read"
    assert tensors["item_popularity"].sum() == first.data["positives"]
    measured = artifact.manifest.metrics["test/ndcg@20"]
    assert measured == first.metrics["challenger"]["ndcg@20"]
    weights = SavedWeights.load(state / "runs" / first.run_id / "weights.pt")
    newest = weights.item_ids.index("brand-new")  # it tests, and trains only what is served
    assert not weights.state["item_behaviour_ID"][newest].any()
    assert tensors["item_embeddings"][newest, 0, 0].any()
    users = IdTable(tensors["user_ids_blob"], tensors["user_ids_offsets"])
    items = IdTable(tensors["item_ids_blob"], tensors["item_ids_offsets"])
    assert "newcomer" in list(users)
    assert "brand-new" in list(items)

    assert "would end unchanged: 0 new events" in run("--dry-run")[1]
    status, out = run("--json")
    assert (status, json.loads(out.splitlines()[-1])["result"]) == (0, "unchanged")
    assert live(client) == first.version

    client.xadd(KEYS.feedback, {"other": b"no event"})
    click(("u002", "i024"))
    assert f"would go on from the weights of {first.version}" in run("--dry-run")[1]
    status, out = run()
    assert status == 0, out
    second = announced(client)
    assert f"going on from the weights of {first.version}" in caplog.messages
    assert second.warm
    assert second.champion == first.version
    assert second.new_events == 1
    assert list(second.rejected.values()) == [1]
    assert second.density == second.data["positives"] / (
        second.data["users"] * second.data["items"]
    )
    assert len(second.history) <= 2
    assert set(second.metrics) == {"challenger", "champion", "popular"}
    assert {"ndcg@20, all", "recall@20, all"} <= {rule.name for rule in second.rules}
    assert live(client) == second.version != first.version
    assert client.get(KEYS.previous).decode() == first.version
    assert [x.result for x in records(state)] == ["promoted", "unchanged", "promoted"]
    assert not list((state / "runs").glob("*/data"))


@pytest.mark.timeout(300)
def test_a_refusal_names_the_rule_and_leaves_the_live_model(
    run: Run, state: Path, client: redis.Redis, click: Callable[..., None]
) -> None:
    assert run()[0] == 0
    first = live(client)
    click(("u002", "i024"))
    status, out = run(min_users="1000")
    assert status == 3
    assert re.search(r"refused: enough users: \d+ users to judge on, at least 1000", out)
    assert live(client) == first
    refused = announced(client)
    assert (refused.result, refused.live) == ("refused", False)
    assert refused.last_promoted_at == records(state)[0].finished_at
    kept = state / "runs" / refused.run_id / "artifact"
    assert read_artifact(kept).manifest.model_version == refused.version

    assert run(min_users="5")[0] == 0
    # Not `!= refused.version`: trained on the same data in the same second, it has the same name.
    assert live(client) != first


@pytest.mark.timeout(300)
def test_a_pinned_version_stays_live(
    run: Run, client: redis.Redis, click: Callable[..., None], redis_url: str
) -> None:
    assert run()[0] == 0
    first = live(client)
    assert main(["pin", "--redis-url", redis_url]) == 0
    click(("u002", "i024"))
    status, out = run()
    assert status == 0
    assert "another version is pinned and stays live" in out
    assert live(client) == first
    assert not announced(client).live


def test_the_second_of_two_at_once_leaves(run: Run, state: Path, client: redis.Redis) -> None:
    with RetrainLock(client, KEYS, lock_seconds=30) as lock:
        status, out = run()
        assert status == 4
        assert f"another retraining ({lock.token}) holds the lock" in out
    assert not state.exists()


@pytest.mark.timeout(300)
def test_a_stranger_takes_nothing_from_a_namespace(
    run: Run, state: Path, client: redis.Redis, click: Callable[..., None], tmp_path: Path
) -> None:
    with EventLog(state / "events").writing() as writer:
        FeedbackStream(client, KEYS).give_to(writer.owner())
    click(("u000", "i021"))
    status, out = run(state=f'"{tmp_path / "other"}"')
    assert status == 1
    assert f"'default' belong to the event log {state / 'events'} on" in out
    assert client.xlen(KEYS.feedback) == 1
    assert client.get(KEYS.runs) is None


def test_of_two_trainers_started_at_once_one_runs(
    config_file: Path, state: Path, client: redis.Redis
) -> None:
    command = [sys.executable, "-m", "deploy.cli", "retrain", "--config", str(config_file)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    start = partial(subprocess.Popen, command, env=env, text=True, stdout=PIPE, stderr=PIPE)
    with start() as one, start() as other:
        ended = {each.wait(): each.communicate() for each in (one, other)}
    assert ended.keys() == {0, 4}, ended
    assert ended[0][0].splitlines()[-1].startswith("promoted: ")
    assert re.search(
        r"^another retraining \(\d+@.+:\d+\) holds the lock", ended[4][1], re.MULTILINE
    )
    assert [x.version for x in records(state)] == [live(client)]


def test_a_run_that_loses_its_lock_publishes_nothing(
    run: Run, state: Path, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "training.retrain.job.measure_all", lambda *_: client.set(KEYS.retrain_lock, "another")
    )
    monkeypatch.setattr("training.retrain.job.Retraining._note_metrics", lambda *_: None)
    monkeypatch.setattr("training.retrain.job.changed_lists", lambda *_: [])
    status, out = run()
    assert status == 1
    assert "lost the retraining's lock" in out
    assert client.get(KEYS.current) is None
    assert client.get(KEYS.retrain_lock) == b"another"
    assert [(x.result, x.step) for x in records(state)] == [("failed", "evaluate")]


def test_a_dry_run_changes_nothing(
    run: Run, state: Path, client: redis.Redis, click: Callable[..., None]
) -> None:
    click(("u000", "i021"), ("u001", "i020"))
    status, out = run("--dry-run")
    assert status == 0
    assert "would take over 2 entries" in out
    assert "live: nothing" in out
    assert "would train from scratch: nothing is live yet" in out
    assert client.xlen(KEYS.feedback) == 2
    assert not state.exists()


def test_a_fault_is_on_record(run: Run, state: Path, client: redis.Redis, tmp_path: Path) -> None:
    data = tmp_path / "untimed"
    data.mkdir()
    (data / "x.inter").write_text("user_id\titem_id\na\tb\n")
    status, out = run("--data", str(data))
    assert status == 1
    assert "has no 'timestamp' column, which a retraining needs" in out
    assert [(x.result, x.step) for x in records(state)] == [("failed", "assemble")]
    assert "timestamp" in announced(client).reason
    assert client.exists(KEYS.retrain_lock) == 0


def test_a_run_and_its_steps_are_told_in_a_trace(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("training.retrain.command.traces_wanted", lambda *_: Traces(provider))
    data = tmp_path / "untimed"
    data.mkdir()
    (data / "x.inter").write_text("user_id\titem_id\na\tb\n")
    assert run("--data", str(data))[0] == 1
    *steps, whole = exporter.get_finished_spans()
    assert [each.name for each in (*steps, whole)] == [
        "drain", "erase", "canary", "assemble", "retrain",
    ]  # fmt: skip
    assert {each.parent.span_id for each in steps} == {whole.context.span_id}
    assert [each.attributes for each in (steps[0], steps[-1])] == [{}, {"error.type": "DataError"}]


@pytest.mark.parametrize("broken", ["training.data.files.sync", "polars.DataFrame.write_parquet"])
def test_a_full_disk_is_named_and_told_to_the_service(
    broken: str,
    run: Run,
    state: Path,
    client: redis.Redis,
    click: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    click(("u000", "i021"), ("u001", "i020"))
    with monkeypatch.context() as patched:
        patched.setattr(broken, full)
        status, out = run()
    assert status == 1
    assert f"the disk of {state} is full" in out
    assert announced(client).result == "failed"
    assert "No space left" in announced(client).reason
    assert client.xlen(KEYS.feedback) == 2
    assert client.exists(KEYS.retrain_lock) == 0
    runs = Runs(state)
    runs.clean(1, ())
    assert [record.result for _, record in runs.newest_first()] in ([], ["failed"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("state = 1", "state: "),
        ('state = "x"\n[data]\nfolder = "y"\n[gate]\nmargins = 1', "gate.margins: Extra inputs"),
        ('state = "x"\n[data]\nfolder = "y"\n[training]\nseeds = 1', "training.seeds: Extra"),
        (
            'state = "x"\n[data]\nfolder = "y"\n[events.weights]\nimpression = 1',
            "'impression' tells what was shown",
        ),
        ("state =", "cannot be read"),
    ],
)
def test_a_wrong_setting_is_named(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "retrain.toml"
    path.write_text(text)
    assert main(["retrain", "--config", str(path)]) == 1
    assert message in capsys.readouterr().err


def test_records_are_json_that_others_can_read(run: Run, state: Path, client: redis.Redis) -> None:
    assert run()[0] == 0
    stored = json.loads(client.get(KEYS.runs))
    assert {"result", "reason", "started_at", "finished_at", "events", "version"} <= stored.keys()
    assert len(EventLog(state / "events").read()) == stored["events"] == 0


def test_what_filled_the_disk_makes_room_for_the_record(
    run: Run, state: Path, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        path.mkdir()
        (path / ".head.onnx.partial").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("training.retrain.job.export_artifact", full)
    monkeypatch.setattr("training.retrain.job.Runs.clean", lambda *_: None)
    status, out = run()
    assert status == 1
    assert "is full" in out
    (kept,) = (state / "runs").iterdir()
    assert {path.name for path in kept.iterdir()} == {"run.json", "report.html"}
    assert [(x.result, x.step) for x in records(state)] == [("failed", "export")]
    assert announced(client).result == "failed"
