"""What a second worker gains: encoding, and lists for all, on a Ray cluster of this machine.

python -m deploy.benchmarks.on_ray --document docs/how-to/ray.md

In processor time, so that what else runs on the machine counts for little. On two processors, two
workers take at least as long as the busier of them, and as half of what all of Ray and of the
command take together; one worker takes as long as it computes, beside the rest.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from deploy.benchmarks.serving.grown import grown_artifact
from deploy.cli.bulk import write_lists
from deploy.local.servers import free_port
from model.artifact.files import write_artifact
from service.ops.settings import Settings
from service.schemas.requests import RecommendationRequest
from training.cluster.engine import Engine, engine_at
from training.encode.encoders import DEFAULT_TEXT
from training.encode.job import EncodeJob, encode_folder
from training.reporting.documents import Outputs, table

SEED = 0
TEXTS, WORDS = 3_000, 30
USERS, ITEMS, TOP = 81_920, 5_000, 20
_STORE_BYTES = 200_000_000
_SECONDS_TO_START = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Processor seconds of one run."""

    busiest: float
    """Seconds of the busiest worker, its start included."""
    total: float
    """Seconds of all workers, Ray and the command."""

    def seconds(self, processors: int) -> float:
        """The least that it takes on so many processors."""
        return max(self.busiest, self.total / processors)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.benchmarks.on_ray",
        description="Measure what a second Ray worker gains.",
    )
    parser.add_argument("--document", type=Path, help="write the table between its markers")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=[*PARTS], help="what to measure"
    )
    options = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for part in options.parts:
            name, prepared = PARTS[part]
            run = prepared(Path(scratch))
            one, two = (spent(run, workers) for workers in (1, 2))
            gain = one.seconds(2) / two.seconds(2)
            figures = (one.busiest, one.total, two.busiest, two.total)
            rows.append([name, *(f"{each:.1f}" for each in figures), f"{gain:.2f}"])
    text = table(
        ["", "one worker, s", "with Ray, s", "busier of two, s", "with Ray, s", "times as fast"],
        rows,
    )
    Outputs(document=options.document).write("ray", text, {})
    return 0


def encoding(scratch: Path) -> Callable[[Engine, int], object]:
    """Encodes texts of the same length with the default encoder."""
    data = scratch / "shop"
    data.mkdir()
    rng = np.random.default_rng(SEED)
    words = [f"{first}{second}" for first in ["tea", "wool", "lamp", "book"] for second in "aeiou"]
    lines = [f"i{item}\t{' '.join(rng.choice(words, WORDS))}" for item in range(TEXTS)]
    (data / "items.tsv").write_text("\n".join(["item_id\ttitle", *lines]) + "\n")

    def run(engine: Engine, workers: int) -> None:
        job = EncodeJob(
            data=data,
            out=scratch / f"encoded-{workers}",
            text=DEFAULT_TEXT,
            images=None,
            batch_size=32,
            device="cpu",
        )
        encode_folder(job, engine)

    return run


def lists(scratch: Path) -> Callable[[Engine, int], object]:
    """Makes the lists of a grown model, with reasons."""
    folder = scratch / "artifact"
    folder.mkdir()
    write_artifact(folder, grown_artifact(ITEMS, USERS, SEED))
    settings = Settings.from_environment(artifact_dir=folder)
    request = RecommendationRequest(user_id="everybody", k=TOP)
    return lambda engine, workers: write_lists(
        settings, request, scratch / f"lists-{workers}.parquet", engine
    )


def spent(run: Callable[[Engine, int], object], workers: int) -> Spent:
    """Processor seconds of a run on a cluster of `workers` workers."""
    here = psutil.Process()
    with cluster(workers) as (head, address):
        before = _seconds([here, *head.children(recursive=True)])
        with engine_at(address) as engine:
            run(engine, workers)
            ray = head.children(recursive=True)
            computing = [_seconds([each]) for each in ray if _computes(each)]
            return Spent(busiest=max(computing), total=_seconds([here, *ray]) - before)


@contextmanager
def cluster(processors: int) -> Iterator[tuple[psutil.Process, str]]:
    """A head node of its own port, with its process."""
    address = f"127.0.0.1:{free_port()}"
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block"]
    command += [f"--port={address.rpartition(':')[2]}", f"--num-cpus={processors}"]
    command += [f"--object-store-memory={_STORE_BYTES}", "--include-dashboard=false"]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        head = psutil.Process(process.pid)
        try:
            _wait_until(partial(_has_a_worker_pool, head))
            yield head, address
        finally:
            children = head.children(recursive=True)
            process.terminate()
            _, left = psutil.wait_procs(children, timeout=10)
            for each in left:
                each.kill()


def _computes(process: psutil.Process) -> bool:
    """Whether it is a worker, no helper of Ray itself."""
    name = process.name()
    return name.startswith("ray::") and "Agent" not in name


def _has_a_worker_pool(head: psutil.Process) -> bool:
    return any(each.name().startswith("ray::") for each in head.children(recursive=True))


def _wait_until(done: Callable[[], bool]) -> None:
    latest = time.monotonic() + _SECONDS_TO_START
    while not done():
        if time.monotonic() > latest:
            raise TimeoutError(f"Ray has not started within {_SECONDS_TO_START:.0f} s")
        time.sleep(0.2)


def _seconds(processes: list[psutil.Process]) -> float:
    """Processor seconds of those processes that still run."""
    total = 0.0
    for each in processes:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


PARTS = {
    "encode": (f"`encode`, {TEXTS:,} texts", encoding),
    "lists": (f"`recommend --all`, {USERS:,} users, {ITEMS:,} items", lists),
}

if __name__ == "__main__":
    sys.exit(main())
