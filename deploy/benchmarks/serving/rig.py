"""The tools of all parts of the serving benchmark: paired timing, servers and replicas.

Linux only (affinity, proportional memory).
"""

import os
import re
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

from deploy.local.processes import Child, wait_until
from deploy.local.servers import (
    HOST,
    EmbeddedServer,
    embedded_server,
    free_port,
    get_json,
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
    candidates: Mapping[str, Callable[[int], object]],
    rounds: int,
    *,
    clock: Callable[[], float] = time.thread_time,
) -> dict[str, float]:
    """The median processor time of each candidate, which is called with the round's number.

    Candidates take turns in every round, so that a busy machine slows all of them alike and ratios
    hold where seconds do not. Only this thread's processor time counts; with
    `clock=time.process_time`, all threads' does.
    """
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(-WARM_ROUNDS, rounds):
        for name, candidate in candidates.items():
            started = clock()
            candidate(max(0, number))
            seconds = clock() - started
            if number >= 0:
                taken[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


PATH = "/v1/users/u{:09d}/recommendations?k=20"
"""Users of grown models; top 20 with contributions."""
_NO_GRACE = PublishPolicy(keep=2, grace_seconds=0)
_SWITCH_SECONDS = 300.0


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
    """A folder, a server, and the services that have been started on it."""

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
        """Make the artifact live; return once every replica serves it, ChildDied if none does."""
        publish_artifact(folder, self.server.url, policy=_NO_GRACE)
        for replica in self.replicas:
            replica.wait_for(folder.name)

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
        port: int | None = None,
        ready: bool = True,
    ) -> Replica:
        """Start a service, on these CPUs only if there are any, and wait until it is ready.

        Unless a setting says otherwise it makes every list that it answers. Without a `port` it
        listens at a free one; unless `ready`, it is not waited for.
        """
        port = port or free_port()
        log = self.folder / f"service-{len(self.replicas)}.log"
        variables = {
            "MAGNET_LOG_LEVEL": "WARNING",
            "WEB_CONCURRENCY": str(workers),
            "MAGNET_KEPT_ANSWERS_BYTES": "0",
        }
        child = self.stack.enter_context(
            serve(port, self.server.url, log, variables | dict(settings or {}))
        )
        if cpus:
            os.sched_setaffinity(child.pid, cpus)
        replica = Replica(child=child, url=f"http://{HOST}:{port}")
        if ready:
            wait_until_ready(replica.url, [child])
        self.replicas.append(replica)
        return replica

    def stop(self, replica: Replica) -> None:
        """End a service; later models are not published to it."""
        replica.child.stop()
        self.replicas.remove(replica)

    def pin(self) -> int:
        """Keep Redis and this process off one CPU, if there are two; returns that one."""
        allowed = sorted(os.sched_getaffinity(0))
        for pid in (self.server.child.pid, 0):
            os.sched_setaffinity(pid, {allowed[-1]})
        return allowed[0]


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
    """Keep every processor busy with a process that computes without pause."""
    with ExitStack() as stack:
        for number in range(len(os.sched_getaffinity(0))):
            spinning = [sys.executable, "-c", "while True: pass"]
            stack.enter_context(Child(f"busy process {number}", spinning, grace_seconds=1))
        yield


def processor_seconds(pid: int) -> float:
    """Processor time that a process and its children have used."""
    times = [process.cpu_times() for process in _family(pid)]
    return float(sum(each.user + each.system for each in times))


def proportional_mb(pid: int) -> float:
    """Memory of a process and its children, in MB; shared pages count once."""
    return float(sum(each.memory_full_info().pss for each in _family(pid))) / 1e6


def own_mb(pid: int) -> float:
    """Memory of a process and its children that is no file's, in MB."""
    fields = re.compile(r"^Anonymous: +(\d+) kB$", re.MULTILINE)
    texts = (Path(f"/proc/{each.pid}/smaps_rollup").read_text() for each in _family(pid))
    return sum(int(number) for text in texts for number in fields.findall(text)) * 1024 / 1e6


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
