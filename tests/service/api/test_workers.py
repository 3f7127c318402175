"""Several workers of one machine are one target for Prometheus: counters never fall."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
import pytest

from model.artifact.files import write_artifact

WORKERS = 2
ANSWERED = (
    'magnet_requests_total{method="GET",route="/v1/users/{user_id}/recommendations",status="200"}'
)


def metrics(url: str) -> dict[str, float]:
    """Every sample, asked for over a connection of its own, so that any worker may answer."""
    text = httpx2.get(f"{url}/metrics", timeout=30).raise_for_status().text
    samples = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def workers(parent: int) -> set[int]:
    """The processes that serve."""
    found = set()
    for child in psutil.Process(parent).children():
        with suppress(psutil.Error):  # it is gone by now
            if "spawn_main" in " ".join(child.cmdline()):
                found.add(child.pid)
    return found


@pytest.fixture
def url(artifact, free_port, tmp_path, until):
    """A real `magnet serve` with two workers, and a port for metrics alone."""
    folder = tmp_path / "artifact"
    folder.mkdir()
    write_artifact(folder, artifact)
    environment = {"MAGNET_ARTIFACT_DIR": str(folder), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "deploy.cli", "serve", "--port", str(free_port)]
    with (tmp_path / "log").open("wb") as log:
        one = subprocess.Popen(
            [*command, "--workers", str(WORKERS)],
            env=os.environ | environment,
            stdout=log,
            stderr=log,
        )
    try:
        address = f"http://127.0.0.1:{free_port}"

        def ready() -> bool:
            assert one.poll() is None, (tmp_path / "log").read_text()
            try:
                return httpx2.get(f"{address}/readyz", timeout=30).status_code == 200
            except httpx2.TransportError:
                return False

        until(ready, 120)
        until(lambda: len(workers(one.pid)) == WORKERS, 120)
        yield address, one.pid, tmp_path
    finally:
        one.terminate()
        one.wait(30)


class Asked:
    """Asks for lists and looks at the metrics."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers = 0
        self.latest: dict[str, float] = {}

    def ask(self, times: int) -> None:
        for _ in range(times):
            with suppress(httpx2.TransportError):  # of a worker that dies
                path = f"{self.address}/v1/users/u001/recommendations"
                # A worker that starts answers 503.
                self.answers += httpx2.get(path, timeout=30).status_code == 200

    def look(self) -> dict[str, float]:
        found = metrics(self.address)
        for name, value in self.latest.items():
            if re.match(r"\w+_(total|count|sum|bucket)\b", name):
                assert found[name] >= value, f"{name} fell"
        self.latest = self.latest | found
        return found


@pytest.mark.slow
def test_a_worker_that_is_killed_as_it_begins_costs_no_metrics(url) -> None:
    """client_python 1199: its empty file made every later look fail."""
    address, _, folder = url
    counted = next(folder.rglob("counter_*.db")).parent
    for name in ("counter_999999.db", "histogram_999999.db", "gauge_livesum_999999.db"):
        (counted / name).touch()
    told = httpx2.get(f"{address}/metrics", timeout=30)
    assert told.status_code == 200
    assert "magnet_requests_total{" in told.text


@pytest.mark.timeout(300)
def test_all_workers_are_counted_together_also_those_that_died(url, until) -> None:
    address, parent, folder = url
    asked = Asked(address)
    for _ in range(5):
        asked.ask(8)
        asked.look()
    until(lambda: asked.look()[ANSWERED] == asked.answers)
    assert asked.latest["magnet_waiting_requests"] == 0

    killed = min(workers(parent))
    os.kill(killed, signal.SIGKILL)

    def replaced() -> bool:
        asked.ask(1)
        asked.look()
        return len(workers(parent) - {killed}) == WORKERS

    until(replaced, 120)
    for _ in range(5):
        asked.ask(8)
        asked.look()
    until(lambda: asked.look()[ANSWERED] >= asked.answers)
    assert asked.latest["magnet_source_up"] == 1, "of the living"
    assert len(list(Path(folder).glob("magnet-metrics-*"))) == 1
