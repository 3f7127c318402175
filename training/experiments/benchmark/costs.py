"""What training costs: MAGNET beside LightGCN with the sampled softmax, in one run on one thread.

Seconds are of the processor, so other work on the machine does not count. LightGCN is the first of
the benchmark's grid. It is trained as MAGNET is: in epochs, with negatives that a batch shares,
until validation stops it.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from statistics import median

import torch

from model.artifact.manifest import EpochRecord
from training.data.dataset import Dataset
from training.data.files import peak_mb, reset_peak
from training.evaluate.protocol import evaluate
from training.experiments.baselines.lightgcn import LIGHTGCN_SOFTMAX, LightGCN
from training.fit.config import TrainingConfig
from training.fit.early import Watch
from training.fit.final_model import BOTH, repeated, train_on_all
from training.fit.sampler import Sampler
from training.fit.trained_model import TrainedModel
from training.fit.trainer import train, train_to_the_end
from training.reporting.charts import COLOURS, INK, Panel, Series, draw_lines
from training.reporting.documents import table

_TIMED_EPOCHS = 3
"""Epochs that are timed, after a first one that is not."""
Curve = tuple[tuple[float, float], ...]
"""Seconds since the start, and validation NDCG@20 by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Training costs of one model, in processor seconds."""

    epoch_seconds: float
    """Training alone, with the batches and negatives of `Costs`, MAGNET's encoders; the median."""
    epochs: int
    """Epochs until validation stopped it."""
    fit_seconds: float
    """Time until then, everything included."""
    final_seconds: float
    """Time of the training on everything after that."""
    peak_mb: float
    """MB (10^6 bytes) of memory of the whole process."""
    curve: Curve
    """Learning curve by epoch; MAGNET's last point is the finished model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Training costs of both models on one data set."""

    dataset_name: str
    summary: str
    batch_size: int
    """Positives of a step while epochs are timed."""
    negatives: int
    """Items that a step shares as negatives meanwhile."""
    magnet: Cost
    lightgcn: Cost


def measure_costs(dataset: Dataset, config: TrainingConfig) -> Costs:
    """Train both on one thread of the processor; TrainingError as `train`."""
    config = config.model_copy(update={"device": "cpu"})
    everything = dataset.merged(*BOTH)
    batch_size, negatives = _first_batch(everything, config)
    with _one_thread():
        lightgcn = _lightgcn(dataset, everything, config.seed, batch_size, negatives)
        magnet = _magnet(dataset, everything, config)
    return Costs(
        dataset_name=dataset.name,
        summary=dataset.summary,
        batch_size=batch_size,
        negatives=negatives,
        magnet=magnet,
        lightgcn=lightgcn,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _first_batch(dataset: Dataset, config: TrainingConfig) -> tuple[int, int]:
    """How many positives and negatives MAGNET's steps have."""
    sampler = Sampler(
        config=config,
        histories=dataset.train_histories,
        has_content=bool(dataset.features),
        generator=torch.Generator().manual_seed(config.seed),
        device=torch.device("cpu"),
    )
    batch = next(sampler.epoch())
    return len(batch.item_B), len(batch.negative_N)


class _Stopwatch:
    """Notes when epochs end."""

    def __init__(self) -> None:
        self._start = time.process_time()
        self.curve: list[tuple[float, float]] = []

    def seconds(self) -> float:
        return time.process_time() - self._start

    def note(self, record: EpochRecord) -> None:
        self.curve.append((self.seconds(), record.valid_ndcg20))


def _magnet(dataset: Dataset, everything: Dataset, config: TrainingConfig) -> Cost:
    reset_peak()
    fit = _Stopwatch()
    found = train(dataset, config, watch=Watch(on_epoch=fit.note))
    fit_seconds = fit.seconds()
    train_on_all(dataset, config, found)
    final_seconds = fit.seconds() - fit_seconds
    peak = peak_mb()
    count = 1 + _TIMED_EPOCHS
    _, plan = repeated(config, found)
    epochs = _Stopwatch()
    train_to_the_end(
        everything,
        config.model_copy(update={"max_epochs": count}),
        replace(plan, encoder_epochs=count),
        watch=Watch(on_epoch=epochs.note),
    )
    return Cost(
        epoch_seconds=_between([at for at, _ in epochs.curve]),
        epochs=len(found.history),
        fit_seconds=fit_seconds,
        final_seconds=final_seconds,
        peak_mb=peak,
        curve=(*fit.curve, (fit_seconds, _validated(found, dataset))),
    )


def _lightgcn(
    dataset: Dataset, everything: Dataset, seed: int, batch_size: int, negatives: int
) -> Cost:
    baseline = LIGHTGCN_SOFTMAX.grid[0]
    assert isinstance(baseline, LightGCN)
    reset_peak()
    start = time.process_time()
    fitted = baseline.fit(dataset, seed, deadline=math.inf)
    fit_seconds = time.process_time() - start
    peak = peak_mb()
    any_number = everything.train.nnz
    schedule = replace(baseline.schedule, min_batch=batch_size, max_steps=any_number)
    same = replace(baseline, num_negatives=negatives, schedule=schedule)
    epochs = islice(same.epochs(everything, seed), 1 + _TIMED_EPOCHS)
    return Cost(
        epoch_seconds=_between([time.process_time() for _ in epochs]),
        epochs=len(fitted.curve),
        fit_seconds=fit_seconds,
        final_seconds=0.0,
        peak_mb=peak,
        curve=fitted.curve,
    )


def _validated(model: TrainedModel, dataset: Dataset) -> float:
    return evaluate(model.score, dataset, dataset.valid, ks=(20,)).metrics["ndcg@20"]


def _between(times: list[float]) -> float:
    return median(after - before for before, after in pairwise(times))


def as_markdown(costs: Costs, command: str, picture: str | None) -> str:
    """The data set's section; `command` is what made it, `picture` the address of the curves."""
    baseline = LIGHTGCN_SOFTMAX.grid[0]
    rows = []
    for name, cost in (("**MAGNET**", costs.magnet), (LIGHTGCN_SOFTMAX.label, costs.lightgcn)):
        epoch, fit, whole = (
            f"{ours:.2f} ({ours / theirs:.1f})"
            for ours, theirs in (
                (cost.epoch_seconds, costs.lightgcn.epoch_seconds),
                (cost.fit_seconds, costs.lightgcn.fit_seconds),
                (cost.fit_seconds + cost.final_seconds, costs.lightgcn.fit_seconds),
            )
        )
        rows.append([name, epoch, str(cost.epochs), fit, whole, f"{cost.peak_mb:.0f}"])
    parts = [
        f"### What training costs: {costs.dataset_name}",
        f"Data: {costs.summary}. Made by:",
        f"```console\n{command}\n```",
        "Seconds of the processor, both models in one run on one thread; in brackets, how many "
        "times LightGCN's. An epoch is training alone, of MAGNET's encoders and of LightGCN, both "
        f"with batches of {costs.batch_size:,} positives that share {costs.negatives:,} negatives; "
        f"the median of {_TIMED_EPOCHS}. A fit goes on until validation stops it, validation "
        "included; on everything adds the training of the model that is served. LightGCN's "
        f"settings: `{baseline}`.",
        table(
            ["model", "s/epoch", "epochs", "fit s", "fit s, on everything", "peak MB"],
            rows,
        ),
    ]
    if picture is not None:
        parts.append(f"![Validation NDCG@20 by seconds of training]({picture})")
    return "\n\n".join(parts)


def draw_curves(costs: Costs) -> str:
    """The SVG of validation NDCG@20 against seconds."""
    series = tuple(
        Series(
            name=name,
            values=[value for _, value in cost.curve],
            at=[at for at, _ in cost.curve],
            colour=colour,
        )
        for name, cost, colour in (
            ("MAGNET", costs.magnet, INK),
            ("LightGCN, softmax", costs.lightgcn, COLOURS[1]),
        )
    )
    panel = Panel(
        title="validation NDCG@20 (MAGNET's last point: the finished model)", series=series
    )
    title = f"{costs.dataset_name}: learning curves on one thread"
    return draw_lines(title, [panel], unit="seconds of the processor")
