"""MAGNET beside strong baselines on one data set, one split and one protocol.

Knows how to tune, train and test every model; knows nothing about how results are shown. Settings
are chosen on the validation part; each finished model meets the test part once.

Letters: U users, S seeds.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from training import baselines, lightgcn
from training.baselines import BaselineError
from training.config import TrainingConfig
from training.dataset import Dataset
from training.evaluation import Evaluation, evaluate
from training.lightgcn import train_lightgcn, tune_lightgcn
from training.memory import peak_mb, reset_peak
from training.metrics import paired_bootstrap
from training.trainer import train

log = logging.getLogger(__name__)

MAGNET = "magnet"
MODELS = (*baselines.GRIDS, *lightgcn.GRIDS, MAGNET)
COMPARED = ("recall@20", "ndcg@20")
"""Metrics on which MAGNET's lead is tested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one model reached."""

    settings: str
    tests: tuple[Evaluation, ...]
    """One per seed; a model without randomness has one in all."""
    fit_seconds: float
    """Training once with the chosen settings, mean over seeds."""
    seconds_per_epoch: float | None
    """Validation included; None for a closed form."""
    peak_rss_mb: float
    """Of the whole process while this model was tuned and trained."""

    def per_user(self, metric: str) -> NDArray[np.float64]:
        """One value per test user [U], averaged over seeds."""
        value_SU = np.stack([test.per_user[metric] for test in self.tests])
        return np.asarray(value_SU.mean(axis=0), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """MAGNET minus a baseline on one metric, with its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """`ahead` or `behind` only if the interval bears it out, else `tie`."""
        if self.low > 0:
            return "ahead"
        return "behind" if self.high < 0 else "tie"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Every model's outcome on one data set."""

    dataset_name: str
    summary: str
    seeds: tuple[int, ...]
    outcomes: dict[str, Outcome]
    left_out: dict[str, str]
    """Models that could not run here, with the reason."""

    def leads(self, metric: str) -> dict[str, Lead]:
        """MAGNET minus each baseline: users resampled in pairs, each averaged over seeds."""
        if MAGNET not in self.outcomes:
            return {}
        magnet_U = self.outcomes[MAGNET].per_user(metric)
        leads: dict[str, Lead] = {}
        for name, outcome in self.outcomes.items():
            if name != MAGNET:
                average, low, high = paired_bootstrap(magnet_U, outcome.per_user(metric), seed=0)
                leads[name] = Lead(mean=average, low=low, high=high)
        return leads


def run_benchmark(
    dataset: Dataset,
    seeds: Sequence[int],
    config: TrainingConfig,
    models: Sequence[str] = MODELS,
) -> Benchmark:
    """Tune, train and test models one after another, with progress in the log.

    Args:
        dataset: all models get the same parts of it.
        seeds: of every model with randomness; the first one also serves for tuning.
        config: MAGNET's settings (its seed is replaced).
        models: some of MODELS.

    Raises:
        ValueError: an unknown model, no seed, or nothing to validate or test with.
        TrainingError: MAGNET cannot be trained.
    """
    unknown = sorted(set(models) - set(MODELS))
    if unknown:
        raise ValueError(f"unknown model {unknown[0]!r}: choose among {', '.join(MODELS)}")
    if not seeds:
        raise ValueError("a benchmark needs at least one seed")
    if dataset.valid.nnz == 0 or dataset.test.nnz == 0:
        raise ValueError(
            f"{dataset.name} has {dataset.valid.nnz} validation and {dataset.test.nnz} test "
            "positives; a benchmark needs both"
        )
    outcomes: dict[str, Outcome] = {}
    left_out: dict[str, str] = {}
    for name in models:
        log.info(f"{name} ...")
        try:
            outcomes[name] = _run_model(name, dataset, seeds, config)
        except BaselineError as error:
            left_out[name] = str(error)
            log.info(f"{name} left out: {error}")
            continue
        recall, ndcg = (
            mean(test.metrics[metric] for test in outcomes[name].tests) for metric in COMPARED
        )
        log.info(f"{name}: Recall@20 {recall:.4f}, NDCG@20 {ndcg:.4f}")
    return Benchmark(
        dataset_name=dataset.name,
        summary=dataset.summary,
        seeds=tuple(seeds),
        outcomes=outcomes,
        left_out=left_out,
    )


def _run_model(
    name: str, dataset: Dataset, seeds: Sequence[int], config: TrainingConfig
) -> Outcome:
    reset_peak()
    if name in baselines.GRIDS:
        return _run_closed_form(name, dataset)
    if name in lightgcn.GRIDS:
        chosen = tune_lightgcn(lightgcn.GRIDS[name], dataset, seeds[0]).config

        def run_lightgcn(seed: int) -> _Run:
            model = train_lightgcn(dataset, chosen, seed)
            log.info(
                f"{name}, seed {seed}: best epoch {model.best_epoch}, validation NDCG@20 "
                f"{model.valid_ndcg20:.4f}, {model.seconds_per_epoch:.1f} s per epoch"
            )
            return _Run(evaluate(model.score, dataset, dataset.test), model.seconds_per_epoch)

        return _repeat(run_lightgcn, seeds, repr(chosen))

    def run_magnet(seed: int) -> _Run:
        model = train(
            dataset,
            config.model_copy(update={"seed": seed}),
            on_epoch=lambda record: log.info(
                f"magnet, seed {seed}, epoch {record.epoch} ({record.stage}): loss "
                f"{record.loss:.4f}, validation NDCG@20 {record.valid_ndcg20:.4f}, "
                f"{record.seconds:.1f} s"
            ),
        )
        seconds = mean(record.seconds for record in model.history)
        return _Run(evaluate(model.score, dataset, dataset.test), seconds)

    return _repeat(run_magnet, seeds, repr(config))


def _run_closed_form(name: str, dataset: Dataset) -> Outcome:
    chosen, _ = baselines.tune(baselines.GRIDS[name], dataset)
    start = time.perf_counter()
    score = baselines.fit(chosen, dataset)
    return Outcome(
        settings=repr(chosen),
        tests=(evaluate(score, dataset, dataset.test),),
        fit_seconds=time.perf_counter() - start,
        seconds_per_epoch=None,
        peak_rss_mb=peak_mb(),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    test: Evaluation
    seconds_per_epoch: float


def _repeat(run: Callable[[int], _Run], seeds: Sequence[int], settings: str) -> Outcome:
    start = time.perf_counter()
    runs = [run(seed) for seed in seeds]
    return Outcome(
        settings=settings,
        tests=tuple(one.test for one in runs),
        fit_seconds=(time.perf_counter() - start) / len(seeds),
        seconds_per_epoch=mean(one.seconds_per_epoch for one in runs),
        peak_rss_mb=peak_mb(),
    )
