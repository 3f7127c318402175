"""What the launcher says, and how soon, when it cannot start."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.workspace import Workspace
from tests.waiting import PATIENCE_SECONDS

PROJECT = Path(__file__).parents[3]


def launch(state: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", "run", "--out", state, *arguments],
        cwd=PROJECT,
        env={**inherited, "PORT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_SECONDS,
        check=False,
    )


@pytest.fixture
def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    return port


def test_help_tells_what_it_does(tmp_path: Path) -> None:
    done = launch(tmp_path, "--help", COLUMNS="200")
    assert done.returncode == 0
    for word in ("--port", "PORT", "REDIS_URL", "--data", "--min-rating 4", "train", "publish"):
        assert word in done.stdout


def test_a_taken_port_is_noticed_before_anything_is_made(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = launch(state, PORT=str(port))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: port {port} cannot be used (Address already in use)")
    assert "--port " in done.stderr
    assert not state.exists()


@pytest.mark.parametrize("port", ["http", "65536"])
def test_a_port_that_is_none(port: str, tmp_path: Path) -> None:
    done = launch(tmp_path, PORT=port)
    assert done.returncode == 1
    assert done.stderr == f"error: --port {port} is not a port; give a number from 1 to 65535\n"


def test_a_data_folder_that_does_not_exist(tmp_path: Path, free_port: str) -> None:
    done = launch(tmp_path, "--data", "nowhere", PORT=free_port)
    assert done.returncode == 1
    assert done.stderr == "error: --data nowhere: there is no such folder\n"


def test_a_redis_that_is_away_is_noticed_before_training(tmp_path: Path, free_port: str) -> None:
    done = launch(tmp_path, PORT=free_port, REDIS_URL="redis://:secret@127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("error: Redis at 127.0.0.1:1 does not answer")
    assert "secret" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_second_launcher_is_sent_away(tmp_path: Path, free_port: str) -> None:
    with Workspace(tmp_path).claimed():
        done = launch(tmp_path, PORT=free_port)
    assert done.returncode == 1
    assert done.stderr.startswith("error: another launcher is running")


def test_a_bad_setting_of_the_service_is_noticed_at_once(tmp_path: Path, free_port: str) -> None:
    done = launch(tmp_path, PORT=free_port, MAGNET_MAX_K="many")
    assert done.returncode == 1
    assert "MAGNET_MAX_K" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_tables_stops_the_launcher(tmp_path: Path, free_port: str) -> None:
    data = tmp_path / "data of mine"
    data.mkdir()
    done = launch(tmp_path / "state", "--data", str(data), PORT=free_port)
    assert done.returncode == 1
    told, last = done.stderr.splitlines()[-2:]
    assert "data of mine: holds no table; expected files that end in .csv" in told
    assert last.startswith("error: the import failed (exit status ")


def test_a_failed_training_stops_the_launcher(tmp_path: Path, free_port: str) -> None:
    data = tmp_path / "data of mine"
    data.mkdir()
    (data / "empty.inter").touch()
    done = launch(tmp_path / "state", "--data", str(data), PORT=free_port)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: the training failed (exit status ")
