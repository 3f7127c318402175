"""What one data set takes: processor time and memory to train on, bytes on disk, in Redis, served.

Knows how to start each part and where the system says what it uses; knows nothing about slopes.
Linux only: memory is read from /proc.
"""

import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from deploy.crowd import Size, write_crowd
from deploy.embedded import embedded_server, free_port
from deploy.server import HOST, serve, wait_until_ready
from training.allocator import reuse_large_buffers
from training.bare_steps import StepCost, bare_steps
from training.config import TrainingConfig
from training.dataset import DataConfig, load_dataset
from training.export import export_artifact
from training.memory import peak_mb
from training.publish import publish_artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Memory and disk in MB (10^6 bytes)."""

    step: StepCost
    training_mb: float
    """Peak of the process that reads the data and takes a few steps, on one thread."""
    artifact_mb: float
    redis_mb: float
    """What the server's resident memory grew by with one version."""
    service_mb: float
    """Resident memory of one replica that is ready and has served nobody yet."""


def footprint(size: Size, num_modalities: int) -> Footprint:
    """Make data of this size and take them through training's start, Redis and the service.

    Raises:
        ValueError: the size is not possible.
        ChildDied: the server or the service did not start.
    """
    with tempfile.TemporaryDirectory(prefix="footprint-") as name:
        folder = Path(name)
        write_crowd(size, num_modalities, folder / "data")
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max_workers=1, mp_context=fresh) as pool:
            trained = pool.submit(_trained, folder / "data", folder / "artifact")
            step, training_mb = trained.result()
        artifact_mb = sum(x.stat().st_size for x in (folder / "artifact").iterdir()) / 1e6
        redis_mb, service_mb = _served(folder)
    return Footprint(
        step=step,
        training_mb=training_mb,
        artifact_mb=artifact_mb,
        redis_mb=redis_mb,
        service_mb=service_mb,
    )


def _trained(data: Path, out: Path) -> tuple[StepCost, float]:
    """In a process of its own, so that its peak is of nothing else."""
    torch.set_num_threads(1)
    reuse_large_buffers()
    config = DataConfig(folder=data)
    dataset = load_dataset(config)
    step, model = bare_steps(dataset, TrainingConfig())
    training_mb = peak_mb()
    settings: dict[str, dict[str, object]] = {"data": {}, "training": {}}
    export_artifact(out, model, dataset, seed=0, settings=settings, metrics={})
    return step, training_mb


def _served(folder: Path) -> tuple[float, float]:
    """Growth of the Redis-protocol server and size of the service, in MB."""
    with embedded_server(folder / "valkey", folder / "valkey.log") as server:
        before = resident_mb(server.child.pid)
        publish_artifact(folder / "artifact", server.url)
        redis_mb = resident_mb(server.child.pid) - before
        port = free_port()
        with serve(port, server.url, folder / "service.log") as service:
            wait_until_ready(f"http://{HOST}:{port}", [server.child, service])
            return redis_mb, resident_mb(service.pid)


def resident_mb(pid: int) -> float:
    """Resident memory of a running process."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(x for x in status.splitlines() if x.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024 / 1e6
