"""Progress as a person at a terminal sees it; `test_cli` sees the lines of a log."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]


def fit(data: Path, out: Path, stderr: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "deploy.cli", "fit", "--data", data, "--out", out]
    command += ["--max-epochs", "2", "--embedding-dim", "8", "--batch-size", "64"]
    env = os.environ | {"TERM": "xterm", "COLUMNS": "120", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=PROJECT, env=env, stderr=stderr)


def seen(terminal: int) -> str:
    """What is written to a terminal until its other end is closed."""
    pieces = []
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how Linux says that nothing more will come
            piece = b""
        if not piece:
            return b"".join(pieces).decode()
        pieces.append(piece)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_terminal_gets_a_bar(tiny_data: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with fit(tiny_data, tmp_path / "a", theirs) as process:
        os.close(theirs)
        screen = seen(ours)
    os.close(ours)
    assert process.returncode == 0
    assert "training" in screen
    assert "2/2" in screen
    assert "coverage, ndcg@20 " in screen
    assert "best epoch" in screen
    assert " left" not in screen
