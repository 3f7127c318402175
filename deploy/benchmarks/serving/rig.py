"""What every part of the serving benchmark uses: a part, paired timing, servers and replicas.

Candidates take turns in every round, on one pinned thread, so that a busy machine slows all of them
alike and ratios hold where seconds do not. Linux only (affinity, proportional memory).
"""

import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from threadpoolctl import threadpool_limits

from deploy.local.http import get_json
from deploy.local.processes import Child, wait_until
from deploy.local.servers import (
    HOST,
    EmbeddedServer,
    embedded_server,
    free_port,
    serve,
    wait_until_ready,
)
from model.artifact.files import Artifact, write_artifact
from training.publish import PublishPolicy, publish_artifact

WARM_ROUNDS = 2
"""Rounds that are run and not counted: caches, page tables and thread pools settle."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold the process to its first allowed CPU and BLAS to one thread; undone at the end."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        os.sched_setaffinity(0, allowed)


def median_seconds(
    candidates: Mapping[str, Callable[[int], object]], rounds: int
) -> dict[str, float]:
    """The median processor time of each candidate, which is called with the round's number.

    Processor time of this thread, so that what else runs on the machine is not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(-WARM_ROUNDS, rounds):
        for name, candidate in candidates.items():
            started = time.thread_time()
            candidate(max(0, number))
            seconds = time.thread_time() - started
            if number >= 0:
                taken[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a part has measured."""

    figures: Mapping[str, float]
    """Flat names of `bench.json`, each in one part only."""
    text: str
    """Markdown for docs/benchmarks.md: protocol, table, what limits a figure short of its aim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One subject, measured in one go."""

    name: str
    """As in `BENCH=name`."""
    summary: str
    """One line for `--help`."""
    measure: Callable[[], Outcome]


PATH = "/v1/users/u{:09d}/recommendations?k=20"
"""Users of grown models; top 20 with contributions."""
SCALE_VARIABLE = "BENCH_SCALE"
_NO_GRACE = PublishPolicy(keep=2, grace_seconds=0)
_SWITCH_SECONDS = 300.0


def scale() -> float:
    """The share of their full length and size that long benchmarks run for; ValueError."""
    text = os.environ.get(SCALE_VARIABLE, "1")
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError(f"{SCALE_VARIABLE} is {text!r}: it must be above 0 and at most 1")
    return share


def scaled(full: int, least: int) -> int:
    """That share of a full number, but not less than `least`."""
    return max(least, round(full * scale()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One service process."""

    child: Child
    url: str

    def wait_for(self, version: str) -> None:
        """Return once it serves a version; ChildDied if that takes minutes."""
        wait_until(
            lambda: get_json(f"{self.url}/v1/model")["model_version"] == version,
            lambda: f"{self.url} did not switch to {version}",
            [self.child],
            _SWITCH_SECONDS,
        )


@dataclass(slots=True, kw_only=True)
class Rig:
    """A folder, a server, and what has been started on it."""

    folder: Path
    server: EmbeddedServer
    stack: ExitStack
    replicas: list[Replica] = field(default_factory=list)

    def save(self, artifact: Artifact) -> Path:
        """Put an artifact where `publish` finds it."""
        folder = self.folder / artifact.manifest.model_version
        folder.mkdir()
        write_artifact(folder, artifact)
        return folder

    def publish(self, folder: Path) -> None:
        """Make the artifact in a folder live."""
        publish_artifact(folder, self.server.url, policy=_NO_GRACE)

    def kill_server(self) -> None:
        """End the server as a crash does."""
        os.kill(self.server.child.pid, signal.SIGKILL)
        self.server.child.wait()

    def start_server(self) -> None:
        """Start it again where it was, on the data that it had."""
        port = int(self.server.url.rpartition(":")[2])
        self.server = self.stack.enter_context(
            embedded_server(self.folder / "valkey", self.folder / "valkey.log", port)
        )

    def start(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        cpus: Sequence[int] = (),
        workers: int = 1,
    ) -> Replica:
        """Start a service, on these CPUs only if there are any, and wait until it is ready."""
        port = free_port()
        log = self.folder / f"service-{len(self.replicas)}.log"
        variables = {"MAGNET_LOG_LEVEL": "WARNING", "WEB_CONCURRENCY": str(workers)}
        child = self.stack.enter_context(
            serve(port, self.server.url, log, variables | dict(settings or {}))
        )
        if cpus:
            os.sched_setaffinity(child.pid, cpus)
        replica = Replica(child=child, url=f"http://{HOST}:{port}")
        wait_until_ready(replica.url, [child])
        self.replicas.append(replica)
        return replica

    def wait_for(self, version: str) -> None:
        """Return once every replica serves a version; ChildDied if that takes minutes."""
        for replica in self.replicas:
            replica.wait_for(version)


@contextmanager
def rig() -> Iterator[Rig]:
    """A server with nothing in it; everything is stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="magnet-bench-"))
    try:
        with ExitStack() as stack:
            server = stack.enter_context(embedded_server(folder / "valkey", folder / "valkey.log"))
            yield Rig(folder=folder, server=server, stack=stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def busy_processors() -> Iterator[None]:
    """As many processes as there are processors, each of which computes without pause."""
    with ExitStack() as stack:
        for number in range(len(os.sched_getaffinity(0))):
            spinning = [sys.executable, "-c", "while True: pass"]
            stack.enter_context(Child(f"busy process {number}", spinning, grace_seconds=1))
        yield


def cpu_pair() -> tuple[int, int]:
    """The CPU for what is measured and that for what asks; the same one if there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def proportional_mb(pid: int) -> float:
    """Memory of a process and its children; what they share with each other is counted once."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return float(sum(each.memory_full_info().pss for each in family)) / 1e6
