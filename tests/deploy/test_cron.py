"""The schedule of the trainer container, run by the real cron daemon."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

from deploy.cli.app import main
from deploy.local.servers import HOST, free_port, get_json, serve

PROJECT = Path(__file__).parents[2]
SCHEDULE = PROJECT / "deploy" / "cron.yaml"
REQUIREMENTS = PROJECT / "deploy" / "cron-requirements.txt"

pytestmark = pytest.mark.cron


@pytest.fixture(scope="session")
def yacron(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The daemon, installed as in the container; skips where pip cannot get it."""
    folder = tmp_path_factory.mktemp("cron")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"the cron daemon cannot be installed: {done.stderr.splitlines()[-1]}")
    return folder / "bin" / "yacron"


@pytest.mark.timeout(300)
def test_the_schedule_is_valid(yacron: Path) -> None:
    done = subprocess.run(
        [yacron, "-v", "-c", SCHEDULE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def daemon(yacron: Path, tmp_path: Path, command: str, **env: str) -> Iterator[Path]:
    """The daemon with our settings, the job's command and a one-minute schedule; yields its log."""
    text = SCHEDULE.read_text()
    head, _, job = text.partition('schedule: "17 3 * * *"')
    schedule, log = tmp_path / "cron.yaml", tmp_path / "cron.log"
    before, _, _ = job.partition("command:")
    schedule.write_text(f'{head}schedule: "* * * * *"{before}command: {command}\n')
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [yacron, "-c", schedule],
            cwd=PROJECT,
            env=os.environ | env,
            stdout=out,
            stderr=out,
        ) as process,
    ):
        try:
            yield log
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def wait_for(text: str, log: Path, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)
    return log.read_text()


@pytest.mark.timeout(300)
def test_environment_output_and_overlap(yacron: Path, tmp_path: Path) -> None:
    command = "'echo \"to $REDIS_URL\"; echo trouble >&2; sleep 80; exit 3'"
    with daemon(yacron, tmp_path, command, REDIS_URL="redis://here") as log:
        text = wait_for("concurrencyPolicy", log, 200)
    assert "[retrain] to redis://here" in text
    assert "[retrain] trouble" in text
    assert text.count("to redis://here") == 1


def served(base_url: str) -> str | None:
    try:
        return str(get_json(f"{base_url}/v1/model")["model_version"])
    except (HTTPError, URLError, OSError):
        return None


@pytest.mark.timeout(900)
def test_a_new_version_goes_live_in_a_running_service(
    yacron: Path, tmp_path: Path, tiny_data: Path, artifact_dir: Path, redis_url: str
) -> None:
    assert main(["publish", str(artifact_dir), "--redis-url", redis_url]) == 0
    config = tmp_path / "retrain.toml"
    config.write_text(
        f'state = "{tmp_path / "state"}"\n[data]\nfolder = "{tiny_data}"\n'
        "[training]\nmax_epochs = 2\nembedding_dim = 8\n[gate]\nmin_users = 5\nmargin = 0.9\n"
    )
    words = [sys.executable, "-m", "deploy.cli", "retrain", "--config", str(config)]
    port = free_port()
    with serve(port, redis_url, tmp_path / "service.log"):
        base_url = f"http://{HOST}:{port}"
        first = until_served(base_url, None, 120)
        with daemon(yacron, tmp_path, shlex.join(words), REDIS_URL=redis_url) as log:
            second = until_served(base_url, first, 600)
            wait_for("promoted: ", log, 60)
    assert second != first
    assert f"{second} passed all rules" in log.read_text()


def until_served(base_url: str, other_than: str | None, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while (version := served(base_url)) in (None, other_than):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert version is not None
    return version
