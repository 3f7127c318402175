"""What a model of some size takes in training, on disk, in Redis and in a service, and by lines.

Each size gets a data folder, a few training steps, an artifact, a Redis-protocol server and one
replica. The first sizes make the lines; the last one only tests them.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from deploy.benchmarks.parts import Outcome, scale
from deploy.benchmarks.scaling.apart import apart
from deploy.benchmarks.scaling.data import FEATURE_WIDTH, Size, write_random_data
from deploy.benchmarks.serving.rig import rig
from model.network.encoder import DualViewEmbeddings, GraphEncoder
from training.data.dataset import DataConfig, Dataset, load_dataset
from training.data.files import peak_mb
from training.export.artifact import export_artifact
from training.fit.config import TrainingConfig
from training.fit.distributed import return_buffers
from training.fit.graphs import Walks, build_graph, sparse_operator
from training.fit.objective import encoder_terms
from training.fit.sampler import Sampler
from training.fit.trained_model import TrainedModel, build_magnet
from training.fit.trainer import REFRESH_STEPS, moving_average
from training.reporting.documents import table

_STEPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """Seconds of this process's processor time, all its threads together."""

    setting_up: float
    """Model, graph and its content edges, content propagated: once per run."""
    propagation: float
    """Both views, their gradients and the optimiser: once per step. And a step's share of what is
    made once for `REFRESH_STEPS` steps."""
    pairs: float
    """Drawing a batch, its objective and gradients: once per step."""
    positives: int
    """Positives of a batch."""


def measure_step_cost(
    dataset: Dataset, config: TrainingConfig, steps: int = _STEPS
) -> tuple[StepCost, TrainedModel]:
    """Take a few steps of the encoders on the CPU and time their parts.

    The gradients stop at the embeddings and are propagated from there in a second call, which
    changes no result and times both parts. The first step also touches fresh memory, so the
    cheapest one counts.
    """
    start = time.process_time()
    generator = torch.Generator().manual_seed(config.seed)
    magnet = build_magnet(dataset, config, generator)
    sampler = Sampler(
        config=config,
        histories=dataset.train_histories,
        has_content=bool(dataset.features),
        generator=generator,
        device=torch.device("cpu"),
    )
    train_weight_UI = dataset.train_histories.recency_weighted(sampler.recency_power)
    encoder = GraphEncoder(magnet, build_graph(train_weight_UI, dataset.features.values()))
    sampled = config.samples(len(dataset.train_histories.item_P))
    walks = Walks.over(train_weight_UI) if sampled else None
    optimizer = torch.optim.Adam(magnet.parameters(), lr=config.learning_rate, fused=True)
    average = moving_average(magnet, config.average_decay)
    setting_up = time.process_time() - start
    propagation, pairs = [], []
    before = time.process_time()
    encoder.refresh(
        None if walks is None else sparse_operator(walks.layer(np.random.default_rng(0)))
    )
    refreshing = time.process_time() - before
    before = time.process_time()
    for batch in islice(sampler.epoch(), steps):
        drawn = time.process_time()
        optimizer.zero_grad()
        embeddings = encoder.embed(batch.item_X, batch.cold_Y)
        encoded = (embeddings.item_IVMD, embeddings.foldin_IVMD, embeddings.cold_IVMD)
        embedded = time.process_time()
        cut = [x.detach().requires_grad_() for x in encoded]
        terms = encoder_terms(magnet, DualViewEmbeddings(*cut), batch, config)
        torch.stack([*terms.values()]).sum().backward()
        scored = time.process_time()
        learnt = [(x, y.grad) for x, y in zip(encoded, cut, strict=True) if x.requires_grad]
        torch.autograd.backward([x for x, _ in learnt], [grad for _, grad in learnt])
        optimizer.step()
        average.update_parameters(magnet)
        after = time.process_time()
        propagation.append(embedded - drawn + after - scored)
        pairs.append(drawn - before + scored - embedded)
        before = after
    del embeddings, encoded, cut, terms, learnt
    return_buffers()
    magnet.eval()
    cost = StepCost(
        setting_up=setting_up,
        propagation=min(propagation) + refreshing / REFRESH_STEPS,
        pairs=min(pairs),
        positives=len(batch.item_B),
    )
    return cost, TrainedModel.encoded(encoder.of(magnet), train_weight_UI, sampler.recency_power)


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Memory and disk in MB (10^6 bytes)."""

    step: StepCost
    training_mb: float
    """Peak of the process that reads the data and takes a few steps, on one thread."""
    artifact_mb: float
    redis_mb: float
    """Growth of the server's resident memory by one version."""
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
        write_random_data(size, num_modalities, folder / "data")
        step, training_mb = apart(_trained, folder / "data", folder / "artifact")
        artifact_mb = sum(x.stat().st_size for x in (folder / "artifact").iterdir()) / 1e6
        redis_mb, service_mb = _served(folder / "artifact")
    return Footprint(
        step=step,
        training_mb=training_mb,
        artifact_mb=artifact_mb,
        redis_mb=redis_mb,
        service_mb=service_mb,
    )


def _trained(data: Path, out: Path) -> tuple[StepCost, float]:
    config = DataConfig(folder=data)
    dataset = load_dataset(config)
    step, model = measure_step_cost(dataset, TrainingConfig())
    training_mb = peak_mb()
    settings: dict[str, dict[str, object]] = {"data": {}, "training": {}}
    export_artifact(out, model, dataset, seed=0, settings=settings, metrics={})
    return step, training_mb


def _served(artifact: Path) -> tuple[float, float]:
    """Growth of the Redis-protocol server and size of the service, in MB."""
    with rig() as held:
        before = resident_mb(held.server.child.pid)
        held.publish(artifact)
        redis_mb = resident_mb(held.server.child.pid) - before
        return redis_mb, resident_mb(held.start().child.pid)


def resident_mb(pid: int) -> float:
    """Resident memory of a running process."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


SIZES = (
    Size(10_000, 10_000, 100_000),
    Size(40_000, 10_000, 100_000),
    Size(10_000, 40_000, 100_000),
    Size(10_000, 10_000, 400_000),
    Size(30_000, 41_000, 1_000_000),
)
"""One count at a time, then a size that is larger in all (that of the Gowalla benchmark)."""


_QUANTITIES: dict[str, tuple[str, float, Callable[[Footprint], float]]] = {
    "propagation in a step": ("µs", 1e6, lambda x: x.step.propagation),
    "memory of training": ("bytes", 1e6, lambda x: x.training_mb),
    "artifact on disk": ("bytes", 1e6, lambda x: x.artifact_mb),
    "memory of Redis per version": ("bytes", 1e6, lambda x: x.redis_mb),
    "memory of a service replica": ("bytes", 1e6, lambda x: x.service_mb),
}
"""Name: unit of a slope, how many of it make the measured unit, and where it is found."""


def report(sizes: Sequence[Size], footprints: Sequence[Footprint], num_modalities: int) -> str:
    """Both tables in Markdown.

    Args:
        sizes: five or more; all but the last make the lines.
        footprints: one for each.
        num_modalities: content modalities of the data.
    """
    content = f"and {num_modalities} content modalities of {FEATURE_WIDTH} columns"
    title = f"**Behaviour {content if num_modalities else 'alone'}**"
    return f"{title}\n\n{_measurements(sizes, footprints)}\n\n{_slopes(sizes, footprints)}"


def _measurements(sizes: Sequence[Size], footprints: Sequence[Footprint]) -> str:
    header = (
        "users", "items", "interactions", "set-up s", "propagation s/step", "pairs s/step",
        "positives/step", "training MB", "artifact MB", "Redis MB", "service MB",
    )  # fmt: skip
    rows = [
        (
            *(f"{count:,}" for count in (size.users, size.items, size.interactions)),
            f"{x.step.setting_up:.1f}",
            f"{x.step.propagation:.2f}",
            f"{x.step.pairs:.2f}",
            f"{x.step.positives:,}",
            *(f"{mb:.0f}" for mb in (x.training_mb, x.artifact_mb, x.redis_mb, x.service_mb)),
        )
        for size, x in zip(sizes, footprints, strict=True)
    ]
    return table(header, rows)


def _slopes(sizes: Sequence[Size], footprints: Sequence[Footprint]) -> str:
    header = (
        "what", "per user", "per item", "per interaction", "at nothing", "last size: line",
        "measured",
    )  # fmt: skip
    rows = []
    for name, (unit, per, value) in _QUANTITIES.items():
        measured = [value(x) for x in footprints]
        line = _line(sizes, measured)
        whole = "s" if unit == "µs" else "MB"
        rows.append(
            (
                name,
                *(f"{slope * per:.3g} {unit}" for slope in line[1:]),
                *(f"{x:.3g} {whole}" for x in (line[0], _counts(sizes)[-1] @ line, measured[-1])),
            )
        )
    return table(header, rows)


def measure_alone() -> Outcome:
    """Both tables without content."""
    return _measured(0)


def measure_content() -> Outcome:
    """Both tables with two content modalities."""
    return _measured(2)


def _measured(num_modalities: int) -> Outcome:
    sizes = [size.scaled(scale()) for size in SIZES]
    footprints = []
    for size in sizes:
        footprints.append(footprint(size, num_modalities))
        sys.stderr.write(f"  {size}: {footprints[-1]}\n")
    _, _, items, _ = _line(sizes, [x.training_mb for x in footprints])
    return Outcome(
        figures={f"training_kb_per_item_{num_modalities}_modalities": float(items) * 1e3},
        text=report(sizes, footprints, num_modalities),
    )


def _line(sizes: Sequence[Size], measured: Sequence[float]) -> NDArray[np.float64]:
    """At nothing, and slopes by users, items and interactions; the last size does not count."""
    line: NDArray[np.float64]
    line, *_ = np.linalg.lstsq(_counts(sizes)[:-1], np.array(measured[:-1]), rcond=None)
    return line


def _counts(sizes: Sequence[Size]) -> NDArray[np.int64]:
    return np.array([[1, size.users, size.items, size.interactions] for size in sizes])
