"""`make run` on a small shop: it serves, it stops, and a second start uses what stands."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest
import redis

from model.registry.keys import KeySpace
from tests.shipped_films import PIXEL
from tests.waiting import PATIENCE_SECONDS, until

PROJECT = Path(__file__).parents[2]
START_SECONDS = 2 * PATIENCE_SECONDS
"""For a training too."""

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


class Launcher:
    """One run of `magnet run`, its output and the processes below it."""

    def __init__(
        self, shop: Path, state: Path, log: Path, *options: str, **environment: str
    ) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as probe:
            self.port = probe.getsockname()[1]
        self.log = log
        env = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
        env |= {"PORT": str(self.port), "OMP_NUM_THREADS": "1", **environment}
        command = [sys.executable, "-m", "deploy.cli", "run", "--out", str(state)]
        command += ["--data", str(shop), "--no-encode", "--", *(options or ("--max-epochs", "2"))]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=PROJECT, env=env, stdout=output, stderr=output
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def until_serving(self) -> None:
        self.until_it_says("Ctrl-C stops everything.")

    def until_finished(self) -> None:
        """It serves a model whose training is finished."""
        self.until_serving()
        if "Serving an early model" in self.output:
            self.until_it_says("training is finished: serving")

    def until_it_says(self, words: str) -> None:
        def said() -> bool:
            return words in self.output or self.process.poll() is not None

        until(said, START_SECONDS, failure=lambda: self.output)
        assert words in self.output

    def served(self) -> dict[str, Any]:
        """What the service says of its model."""
        with build_opener(ProxyHandler({})).open(
            f"http://127.0.0.1:{self.port}/v1/model"
        ) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    def children(self) -> list[int]:
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(pid) for thread in threads for pid in (thread / "children").read_text().split()]

    def is_gone(self, children: list[int]) -> bool:
        with closing(socket.socket()) as probe:
            listening = probe.connect_ex(("127.0.0.1", self.port)) == 0
        return not listening and not any(Path(f"/proc/{pid}").exists() for pid in children)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def launch(shop: Path, state: Path, tmp_path: Path) -> Iterator[Callable[..., Launcher]]:
    launchers: list[Launcher] = []

    def start(*options: str, data: Path = shop, **environment: str) -> Launcher:
        log = tmp_path / f"{len(launchers)}.log"
        launchers.append(Launcher(data, state, log, *options, **environment))
        return launchers[-1]

    yield start
    for launcher in launchers:
        with suppress(ProcessLookupError):
            launcher.process.kill()
        launcher.process.wait()


@pytest.fixture
def serving(launch: Callable[..., Launcher]) -> Launcher:
    launcher = launch()
    launcher.until_finished()
    return launcher


def test_the_curl_lines_work(serving: Launcher) -> None:
    assert f"http://127.0.0.1:{serving.port}/docs" in serving.output
    (redis_url,) = re.findall(r"REDIS_URL=(\S+) magnet models", serving.output)
    with redis.Redis.from_url(redis_url) as server:
        assert server.exists(KeySpace().current)
    commands = re.findall(r"^  (curl .+)$", serving.output, re.MULTILINE)
    answers = [
        json.loads(subprocess.check_output([*shlex.split(line), "--fail", "--noproxy", "*"]))
        for line in commands
    ]
    recommended, explained, session = answers
    assert recommended["user_id"].startswith("kündin")
    assert [item["rank"] for item in recommended["items"]] == [1, 2, 3]
    assert explained["item_id"] == recommended["items"][0]["item_id"]
    assert explained["experts"]
    assert {item["source"] for item in session["items"]} == {"session"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_of_it(number: signal.Signals, serving: Launcher) -> None:
    children = serving.children()
    assert len(children) == 2
    serving.process.send_signal(number)
    assert serving.process.wait(PATIENCE_SECONDS) == 0
    assert serving.is_gone(children)
    assert "Traceback" not in serving.output


def test_nothing_outlives_a_killed_launcher(serving: Launcher) -> None:
    children = serving.children()
    serving.process.kill()
    serving.process.wait()
    until(lambda: serving.is_gone(children))


def test_the_second_start_uses_what_stands(
    serving: Launcher, launch: Callable[..., Launcher]
) -> None:
    serving.process.send_signal(signal.SIGINT)
    serving.process.wait(PATIENCE_SECONDS)
    second = launch()
    second.until_serving()
    assert "using the model" in second.output
    assert "is already live" in second.output
    assert "training on" not in second.output


def test_an_early_model_is_served_and_a_stopped_training_goes_on(
    launch: Callable[..., Launcher], state: Path
) -> None:
    long = ("--max-epochs", "5000", "--patience", "5000", "--seed", "7")
    first = launch(*long)
    first.until_serving()
    assert "Serving an early model" in first.output
    assert "better models take over by themselves" in first.output
    assert first.served()["early"] is True
    first.until_it_says("coverage")  # an epoch
    until(lambda: any((state / "models").glob("*/artifact.checkpoint")))
    children = first.children()
    assert len(children) == 3
    version = first.served()["model_version"]
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(PATIENCE_SECONDS) == 0
    assert first.is_gone(children)
    assert f"kept: the epochs of the training so far and the early model {version}" in first.output

    second = launch(*long)
    second.until_serving()
    assert second.served()["model_version"] == version
    second.until_it_says("going on from")
    second.process.send_signal(signal.SIGINT)
    assert second.process.wait(PATIENCE_SECONDS) == 0


def test_a_given_redis_is_used_and_left_running(
    launch: Callable[..., Launcher], redis_url: str
) -> None:
    launcher = launch(REDIS_URL=redis_url, MAGNET_NAMESPACE="shop")
    launcher.until_finished()
    assert len(launcher.children()) == 1
    launcher.process.send_signal(signal.SIGINT)
    assert launcher.process.wait(PATIENCE_SECONDS) == 0
    with redis.Redis.from_url(redis_url) as client:
        assert client.exists(KeySpace("shop").current) == 1


def test_a_child_that_dies_takes_the_launcher_down(serving: Launcher) -> None:
    children = serving.children()
    os.kill(children[-1], signal.SIGKILL)
    assert serving.process.wait(PATIENCE_SECONDS) == 1
    last = serving.output[serving.output.rindex("error: ") :]
    assert re.match(r"error: the (service|embedded Valkey server) ended \(signal SIGKILL\)", last)
    assert "the end of" in last
    assert serving.is_gone(children)


def test_tables_as_they_are_shipped_are_served_with_titles_and_posters(
    shipped: Path, launch: Callable[..., Launcher]
) -> None:
    launcher = launch(data=shipped)
    launcher.until_serving()

    def get(path: str) -> bytes:
        with build_opener(ProxyHandler({})).open(
            f"http://127.0.0.1:{launcher.port}{path}"
        ) as answer:
            told: bytes = answer.read()
        return told

    items = {item["item_id"]: item for item in json.loads(get("/v1/items?limit=40"))["items"]}
    assert items["2"]["title"] == "Film 2, The (1962)"
    assert items["1"]["categories"] == ["Crime"]
    assert get(items["1"]["picture_url"]) == PIXEL
    assert items["3"]["picture_url"] is None
    answer = json.loads(get("/v1/users/1/recommendations?k=3"))
    assert answer["fallback"] is None
    assert all(item["reasons"][0] for item in answer["items"])
    launcher.process.send_signal(signal.SIGINT)
    assert launcher.process.wait(PATIENCE_SECONDS) == 0
