"""SIGKILL before the steps of a retraining: the live version is whole, no event is lost or doubled.

A step is every fsync, rename, mkdir, unlink and rmtree, and every command to Redis, of the whole
command: drain, assemble, train, export, publish, record. A run that is not killed enumerates them.
"""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from deploy.cli.app import main
from model.artifact.files import Artifact
from model.registry.keys import KeySpace
from training.feedback.log import EventLog
from training.retrain.runs import RunRecord

KEYS = KeySpace()
Killed = Callable[[int, list[str]], tuple[int, list[str]]]
EVENTS = [("u002", "i024"), ("u003", "i025"), ("newcomer", "i001")]


class Scene:
    """One live model, three events that wait, and what must be true after a kill."""

    def __init__(self, config_file: Path, state: Path, client: redis.Redis) -> None:
        self.arguments = ["retrain", "--config", str(config_file)]
        self.state, self.client = state, client
        self.saved = state.with_name("saved")

    def save(self) -> None:
        """What every kill begins with."""
        self.before = self.client.get(KEYS.current)
        shutil.copytree(self.state, self.saved)
        self.dump = {key: self.client.dump(key) for key in self.client.scan_iter()}

    def restore(self) -> None:
        self.client.flushall()
        for key, value in self.dump.items():
            self.client.restore(key, 0, value)
        shutil.rmtree(self.state)
        shutil.copytree(self.saved, self.state)

    def check_whole(self, read_version: Callable[[str], Artifact]) -> None:
        """Whatever is live can be loaded, and no event stands twice or nowhere."""
        live = self.client.get(KEYS.current).decode()
        assert read_version(live).manifest.model_version == live
        in_log = EventLog(self.state / "events").read()["event_id"].to_list()
        assert len(in_log) == len(set(in_log))
        waiting = self.client.xlen(KEYS.feedback)
        assert len(in_log) + waiting >= len(EVENTS)

    def run_again(self, run: Killed) -> RunRecord:
        """The next run, once the dead one's locks have expired."""
        self.client.delete(KEYS.retrain_lock, KEYS.lock)
        status, _ = run(0, self.arguments)
        assert status == 0, status
        return RunRecord.model_validate_json(self.client.get(KEYS.runs))


@pytest.fixture
def scene(
    config_file: Path,
    state: Path,
    client: redis.Redis,
    click: Callable[..., None],
    killed_before: Killed,
) -> Scene:
    scene = Scene(config_file, state, client)
    assert killed_before(0, scene.arguments)[0] == 0
    click(*EVENTS)
    scene.save()
    return scene


def chosen(steps: list[str], most: int) -> list[int]:
    """Numbers of steps, spread evenly, first and last among them."""
    return [1 + round(x * (len(steps) - 1) / (most - 1)) for x in range(most)]


def check_kill_at(
    step: int, scene: Scene, run: Killed, read_version: Callable[[str], Artifact]
) -> None:
    scene.restore()
    status, _ = run(step, scene.arguments)
    assert status == -signal.SIGKILL, step
    scene.check_whole(read_version)
    record = scene.run_again(run)
    scene.check_whole(read_version)
    assert record.result in ("promoted", "unchanged"), (step, record.reason)
    live = scene.client.get(KEYS.current)
    assert live != scene.before
    assert sorted(EventLog(scene.state / "events").read()["event_id"]) == sorted(
        f"{user}-{item}-click" for user, item in EVENTS
    )
    assert scene.client.xlen(KEYS.feedback) == 0
    runs = sorted((scene.state / "runs").glob("*/run.json"))
    assert all(RunRecord.model_validate_json(path.read_bytes()).result for path in runs)
    assert not list((scene.state / "runs").glob("*/data"))
    assert not list(scene.state.rglob("*.partial"))


@pytest.mark.timeout(600)
def test_killed_before_some_steps(
    scene: Scene, killed_before: Killed, read_version: Callable[[str], Artifact]
) -> None:
    status, steps = killed_before(0, scene.arguments)
    assert status == 0
    assert len(steps) > 100
    for step in chosen(steps, 4):
        check_kill_at(step, scene, killed_before, read_version)


@pytest.mark.kill
@pytest.mark.timeout(3600)
def test_killed_before_sixty_steps(
    scene: Scene, killed_before: Killed, read_version: Callable[[str], Artifact]
) -> None:
    _, steps = killed_before(0, scene.arguments)
    for step in chosen(steps, 60):
        check_kill_at(step, scene, killed_before, read_version)


def test_a_killed_run_is_named(
    scene: Scene, killed_before: Killed, capsys: pytest.CaptureFixture[str]
) -> None:
    _, steps = killed_before(0, scene.arguments)
    scene.restore()
    assert killed_before(len(steps) // 2, scene.arguments)[0] == -signal.SIGKILL
    assert main(scene.arguments) == 4
    assert "another retraining" in capsys.readouterr().err
