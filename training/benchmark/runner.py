"""Runs a benchmark: tunes, trains and tests every model on the same parts of a data set.

Knows how to tune, train and test every model; knows nothing about how results are shown. Settings
are chosen on the validation part; each finished model meets the test part once per seed.
"""

import logging
import time
from dataclasses import dataclass
from functools import partial
from statistics import mean

import numpy as np
import torch

from model.contract.manifest import EpochRecord
from training.baselines import (
    CATALOGUE,
    BaselineError,
    ClosedForm,
    Deadline,
    fit,
    thinned_validation,
    tune,
)
from training.benchmark.ablations import ABLATIONS
from training.benchmark.cache import OutcomeCache, baseline_key, magnet_key
from training.benchmark.outcome import MAGNET, Benchmark, Outcome
from training.config import TrainingConfig
from training.dataset import Dataset
from training.devices import choose_device
from training.evaluation import Evaluation, ScoreFunction, evaluate
from training.memory import peak_mb, reset_peak
from training.trainer import train

log = logging.getLogger(__name__)

MODELS = (*CATALOGUE, MAGNET)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkPlan:
    """What to run."""

    seeds: tuple[int, ...]
    """Of every model with randomness; the first one also serves for tuning."""
    config: TrainingConfig
    """MAGNET's settings; its seed is replaced."""
    models: tuple[str, ...] = MODELS
    ablations: tuple[str, ...] = ()
    """Variants of MAGNET to train beside it."""
    tuning_seconds: float = 900.0
    """For tuning one baseline, and for each further seed of it."""

    def __post_init__(self) -> None:
        for wanted, known in ((self.models, MODELS), (self.ablations, tuple(ABLATIONS))):
            unknown = sorted(set(wanted) - set(known))
            if unknown:
                raise ValueError(f"unknown model {unknown[0]!r}: choose among {', '.join(known)}")
        if not self.seeds:
            raise ValueError("a benchmark needs at least one seed")
        if self.ablations and MAGNET not in self.models:
            raise ValueError(f"ablations are compared with {MAGNET}: add it to the models")


def run_benchmark(
    dataset: Dataset, plan: BenchmarkPlan, cache: OutcomeCache | None = None
) -> Benchmark:
    """Tune, train and test models one after another, with progress in the log.

    Args:
        dataset: all models get the same parts of it.
        plan: models, seeds and limits.
        cache: where outcomes are looked up and kept.

    Raises:
        ValueError: there is nothing to validate or test with.
        TrainingError: MAGNET cannot be trained.
    """
    if dataset.valid.nnz == 0 or dataset.test.nnz == 0:
        raise ValueError(
            f"{dataset.name} has {dataset.valid.nnz} validation and {dataset.test.nnz} test "
            "positives; a benchmark needs both"
        )
    outcomes: dict[str, Outcome] = {}
    left_out: dict[str, str] = {}
    for name in plan.models:
        log.info(f"{name} ...")
        try:
            outcomes[name] = (
                _run_magnet(MAGNET, dataset, plan, cache)
                if name == MAGNET
                else _run_baseline(name, dataset, plan, cache)
            )
        except BaselineError as error:
            left_out[name] = str(error)
            log.info(f"{name} left out: {error}")
        else:
            _report(name, outcomes[name])
    ablations: dict[str, Outcome] = {}
    for name in plan.ablations:
        log.info(f"{ABLATIONS[name].label} ...")
        ablations[name] = _run_magnet(name, dataset, plan, cache)
        _report(name, ablations[name])
    thinned = thinned_validation(dataset)
    return Benchmark(
        dataset_name=dataset.name,
        summary=dataset.summary,
        seeds=plan.seeds,
        outcomes=outcomes,
        left_out=left_out,
        ablations=ablations,
        validation_users=None if thinned is dataset else _users(thinned),
    )


def _run_baseline(
    name: str, dataset: Dataset, plan: BenchmarkPlan, cache: OutcomeCache | None
) -> Outcome:
    if cache is None:
        return _tune_and_test(name, dataset, plan)
    key = baseline_key(name, dataset, plan.seeds, plan.tuning_seconds)
    kept = cache.load(key, dataset, mask_validation=_by_time(dataset))
    if kept is not None:
        return kept
    outcome = _tune_and_test(name, dataset, plan)
    cache.save(key, outcome)
    return outcome


def _tune_and_test(name: str, dataset: Dataset, plan: BenchmarkPlan) -> Outcome:
    reset_peak()
    tunable = thinned_validation(dataset)
    grid = CATALOGUE[name].grid
    tuned = tune(grid, tunable, seed=plan.seeds[0], max_seconds=plan.tuning_seconds)
    runs, seconds = [tuned.fitted], [tuned.fit_seconds]
    if not isinstance(tuned.baseline, ClosedForm):
        for seed in plan.seeds[1:]:
            start = time.monotonic()
            runs.append(fit(tuned.baseline, tunable, seed, Deadline.after(plan.tuning_seconds)))
            seconds.append(time.monotonic() - start)
    notes = []
    if tuned.tried < len(grid):
        notes.append(
            f"{tuned.tried} of {len(grid)} settings tried in {plan.tuning_seconds / 60:g} minutes"
        )
    unfinished = sum(not run.finished for run in runs)
    if unfinished:
        notes.append(
            f"{unfinished} of {len(runs)} runs stopped after {plan.tuning_seconds / 60:g} minutes, "
            "while validation still improved"
        )
    epochs = [run.seconds_per_epoch for run in runs if run.seconds_per_epoch is not None]
    return Outcome(
        settings=repr(tuned.baseline),
        tests=tuple(_test(run.score, dataset) for run in runs),
        fit_seconds=mean(seconds),
        seconds_per_epoch=mean(epochs) if epochs else None,
        peak_rss_mb=peak_mb(),
        notes=tuple(notes),
    )


def _run_magnet(
    name: str, dataset: Dataset, plan: BenchmarkPlan, cache: OutcomeCache | None
) -> Outcome:
    """MAGNET or one of its variants, with every seed."""
    variant = ABLATIONS.get(name)
    config = plan.config if variant is None else variant.apply(plan.config)
    runs = []
    for seed in plan.seeds:
        seeded = config.model_copy(update={"seed": seed})
        key = magnet_key(name, dataset, seeded)
        run = cache.load(key, dataset, mask_validation=_by_time(dataset)) if cache else None
        if run is None:
            run = _train_and_test(dataset if variant is None else variant.dataset(dataset), seeded)
            if cache:
                cache.save(key, run)
        runs.append(run)
    return Outcome(
        settings=repr(config),
        tests=tuple(test for run in runs for test in run.tests),
        fit_seconds=mean(run.fit_seconds for run in runs),
        seconds_per_epoch=mean(run.seconds_per_epoch or 0.0 for run in runs),
        peak_rss_mb=max(run.peak_rss_mb for run in runs),
        notes=tuple(dict.fromkeys(note for run in runs for note in run.notes)),
    )


def _train_and_test(dataset: Dataset, config: TrainingConfig) -> Outcome:
    reset_peak()
    start = time.monotonic()
    model = train(dataset, config, on_epoch=partial(_report_epoch, config.seed))
    seconds = time.monotonic() - start
    device = choose_device(config.device)
    return Outcome(
        settings=repr(config),
        tests=(_test(model.score, dataset),),
        fit_seconds=seconds,
        seconds_per_epoch=mean(record.seconds for record in model.history),
        peak_rss_mb=peak_mb(),
        notes=() if device.type == "cpu" else (f"trained on {torch.cuda.get_device_name(device)}",),
    )


def _test(score: ScoreFunction, dataset: Dataset) -> Evaluation:
    """The test part; where time splits the data, with validation items masked as well."""
    return evaluate(score, dataset, dataset.test, mask_validation=_by_time(dataset))


def _by_time(dataset: Dataset) -> bool:
    return dataset.split in ("time", "global-time")


def _report_epoch(seed: int, record: EpochRecord) -> None:
    log.info(
        f"magnet, seed {seed}, epoch {record.epoch} ({record.stage}): loss {record.loss:.4f}, "
        f"validation NDCG@20 {record.valid_ndcg20:.4f}, {record.seconds:.1f} s"
    )


def _report(name: str, outcome: Outcome) -> None:
    recall, ndcg = (mean(t.metrics[m] for t in outcome.tests) for m in ("recall@20", "ndcg@20"))
    log.info(f"{name}: Recall@20 {recall:.4f}, NDCG@20 {ndcg:.4f}")


def _users(dataset: Dataset) -> int:
    return int((np.diff(dataset.valid.indptr) > 0).sum())
