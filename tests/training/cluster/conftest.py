"""A real Ray cluster of two nodes, and the command line beside it."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(map(str, (PROJECT, PROJECT / "client"))),
    "OMP_NUM_THREADS": "1",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "40",
}
LONGEST_S = 600.0


@dataclass(frozen=True, slots=True)
class TwoNodes:
    """The second node can be killed, and replaced."""

    process: subprocess.Popen[str]
    address: str

    def tell(self, word: str) -> None:
        """`kill` or `add`; returns when it is done."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray: pip install -e '.[ray]'")
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("two_nodes.py")],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield TwoNodes(process, process.stdout.readline().strip())
    finally:
        process.stdin.close()
        try:
            process.wait(60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()


Magnet = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def magnet(tmp_path: Path) -> Magnet:
    """Runs a command to its end; `meanwhile` is called while it runs."""

    def run(
        *words: str | Path, meanwhile: Callable[[Callable[[], bool]], None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deploy.cli", *map(str, words)]
        out, errors = tmp_path / "stdout", tmp_path / "stderr"
        with out.open("w") as stdout, errors.open("w") as stderr:
            process = subprocess.Popen(
                command, env=ENVIRONMENT, cwd=PROJECT, stdout=stdout, stderr=stderr
            )
            try:
                if meanwhile is not None:
                    meanwhile(lambda: process.poll() is None)
                process.wait(LONGEST_S)
            finally:
                process.kill()
                process.wait()
        return subprocess.CompletedProcess(
            command, process.returncode, out.read_text(), errors.read_text()
        )

    return run


class Killing:
    """Kills the second node as soon as something is done."""

    def __init__(self, nodes: TwoNodes, begun: Callable[[], bool]) -> None:
        self._nodes, self._begun = nodes, begun
        self.done = False

    def __call__(self, runs: Callable[[], bool]) -> None:
        while runs() and not self._begun():
            time.sleep(0.02)
        if runs():
            self._nodes.tell("kill")
            self.done = True
