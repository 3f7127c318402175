"""Runs a benchmark: tunes, trains and tests every model on the same parts of a data set.

Settings are chosen on the validation part; each finished model meets the test part once per seed.
Names and pieces of the variants of MAGNET follow the ablations of arXiv:2602.20723 as far as it has
them; the rest are ours.

Letters: I items, F width of a feature vector.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from statistics import mean

import numpy as np
import torch

from model.artifact.manifest import EpochRecord
from training.cluster.engine import LOCAL, Engine
from training.data.dataset import Dataset
from training.data.features import ModalityFeatures
from training.data.files import peak_mb, reset_peak
from training.evaluate.closed_forms import BaselineError, ClosedForm
from training.evaluate.protocol import Evaluation, ScoreFunction, evaluate
from training.experiments.baselines.registry import (
    BASELINES,
    VALIDATION_USERS,
    fit,
    refit,
    thinned_validation,
    tune,
)
from training.experiments.benchmark.cache import OutcomeCache, baseline_key, magnet_key
from training.experiments.benchmark.outcome import MAGNET, Benchmark, Outcome
from training.fit.config import TrainingConfig
from training.fit.distributed import choose_device
from training.fit.early import Watch
from training.fit.final_model import train_on_all
from training.fit.trainer import train

log = logging.getLogger(__name__)

Features = dict[str, ModalityFeatures]


def noise(features: Features) -> Features:
    """Normal random numbers [I, F] in the place of every modality's features."""
    generator = np.random.default_rng(0)
    return {
        name: ModalityFeatures(
            x_IF=generator.normal(size=x.x_IF.shape).astype(np.float32), present_I=x.present_I
        )
        for name, x in features.items()
    }


def first_twice(features: Features) -> Features:
    """The first modality once more under another name."""
    return features | {f"{name}_again": x for name, x in list(features.items())[:1]}


@dataclass(frozen=True, slots=True)
class Ablation:
    """One variant."""

    label: str
    changes: dict[str, object] = field(default_factory=dict)
    """Fields of TrainingConfig that differ from the full model's."""
    content: Callable[[Features], Features] = dict
    """What becomes of the data set's features; by default nothing."""

    def apply(self, config: TrainingConfig) -> TrainingConfig:
        """The variant's settings."""
        return TrainingConfig.model_validate(config.model_dump() | self.changes)

    def dataset(self, dataset: Dataset) -> Dataset:
        """The variant's data."""
        return replace(dataset, features=self.content(dataset.features))


ABLATIONS = {
    "no_augmented_view": Ablation("without the augmented view", {"views": "interaction"}),
    "no_experts": Ablation("without experts (plain average)", {"experts": "average"}),
    "free_experts": Ablation("without role templates (free weights)", {"experts": "free"}),
    "coverage_only": Ablation("coverage stage alone", {"stage_switch": "never"}),
    "specialisation_only": Ablation("specialisation stage alone", {"stage_switch": 0}),
    "no_routing_regularisation": Ablation(
        "without routing regularisation", {"coverage_weight": 0.0, "specialisation_weight": 0.0}
    ),
    "no_neighbourhood": Ablation("without the neighbourhood", {"neighbourhood": False}),
    "no_user_part": Ablation("without users' free parts", {"user_dropout": 1.0}),
    "random_start": Ablation("from a random start", {"start": "random"}),
    "no_contrast": Ablation(
        "without contrastive terms", {"view_alignment": 0.0, "modality_alignment": 0.0}
    ),
    "no_cold_twins": Ablation("without cold-start masking", {"cold_rate": 0.0}),
    "bpr": Ablation("BPR instead of the sampled softmax", {"ranking_loss": "bpr"}),
    "uniform_users": Ablation("without damping of heavy users", {"user_damping": 0.0}),
    "uniform_negatives": Ablation("with uniform negatives", {"popularity_power": 0.0}),
    "behaviour_alone": Ablation("behaviour alone", content=lambda _: {}),
    "noise": Ablation("noise in the place of content", content=noise),
    "duplicate": Ablation("one modality twice", content=first_twice),
}


MODELS = (*BASELINES, MAGNET)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkPlan:
    """What to run."""

    seeds: tuple[int, ...]
    """Seeds of every randomised model; the first one also serves for tuning."""
    config: TrainingConfig
    """MAGNET's settings; its seed is replaced."""
    models: tuple[str, ...] = MODELS
    ablations: tuple[str, ...] = ()
    """Variants of MAGNET to train beside it."""
    tuning_seconds: float = 900.0
    """Time limit for tuning one baseline, and for each further seed of it."""
    published_protocol: bool = False
    """Train on validation positives too, once they have chosen settings and epochs, and leave them
    out of the lists: what tables in papers do that know no validation part."""

    def __post_init__(self) -> None:
        for wanted, known in ((self.models, MODELS), (self.ablations, tuple(ABLATIONS))):
            unknown = sorted(set(wanted) - set(known))
            if unknown:
                raise ValueError(f"unknown model {unknown[0]!r}: choose among {', '.join(known)}")
        if not self.seeds:
            raise ValueError("a benchmark needs at least one seed")
        if self.ablations and MAGNET not in self.models:
            raise ValueError(f"ablations are compared with {MAGNET}: add it to the models")

    def tested(self, dataset: Dataset) -> Dataset:
        """What models are trained on before they are tested."""
        return dataset.merged("valid") if self.published_protocol else dataset


@dataclass(frozen=True, slots=True)
class _Job:
    """A part of a benchmark that needs none of the others."""

    name: str
    """Name of a baseline, of MAGNET, or of a variant of it."""
    seed: int | None
    """Seed of one run of MAGNET or of a variant; None for a baseline with all its seeds."""


def run_benchmark(
    dataset: Dataset,
    plan: BenchmarkPlan,
    cache: OutcomeCache | None = None,
    engine: Engine = LOCAL,
) -> Benchmark:
    """Tune, train and test models, with progress in the log.

    Args:
        dataset: what to compare them on.
        plan: which.
        cache: has outcomes of earlier runs, and gets each new one as soon as it is there.
        engine: who trains.

    Raises:
        ValueError: there is nothing to validate or test with.
        TrainingError: MAGNET cannot be trained.
    """
    if dataset.valid.nnz == 0 or dataset.test.nnz == 0:
        raise ValueError(
            f"{dataset.name} has {dataset.valid.nnz} validation and {dataset.test.nnz} test "
            "positives; a benchmark needs both"
        )
    jobs_of = {
        name: [_Job(name, None)] if name in BASELINES else [_Job(name, x) for x in plan.seeds]
        for name in (*plan.models, *plan.ablations)
    }
    found: dict[_Job, Outcome] = {}
    left_out: dict[str, str] = {}
    done: dict[str, Outcome] = {}
    for job, outcome in _outcomes(dataset, plan, [*chain(*jobs_of.values())], cache, engine):
        if isinstance(outcome, str):
            left_out[job.name] = outcome
            log.info(f"{job.name} left out: {outcome}")
            continue
        found[job] = outcome
        if all(each in found for each in jobs_of[job.name]):
            done[job.name] = _together([found[each] for each in jobs_of[job.name]])
            _report(job.name, done[job.name])
    thinned = thinned_validation(dataset)
    return Benchmark(
        dataset_name=dataset.name,
        summary=dataset.summary,
        seeds=plan.seeds,
        outcomes={name: done[name] for name in plan.models if name in done},
        left_out={name: left_out[name] for name in plan.models if name in left_out},
        ablations={name: done[name] for name in plan.ablations},
        validation_users=None if thinned is dataset else VALIDATION_USERS,
        published_protocol=plan.published_protocol,
    )


def _outcomes(
    dataset: Dataset,
    plan: BenchmarkPlan,
    jobs: Sequence[_Job],
    cache: OutcomeCache | None,
    engine: Engine,
) -> Iterator[tuple[_Job, Outcome | str]]:
    """What came of each job, or why it cannot be done; first what the cache has."""
    waiting: list[_Job] = []
    for job in jobs:
        kept = None if cache is None else _kept(cache, dataset, plan, job)
        if kept is None:
            waiting.append(job)
        else:
            yield job, kept
    device = plan.config.device
    for job, outcome in engine.each(
        partial(_outcome, dataset, plan), waiting, lambda x: "cpu" if x.seed is None else device
    ):
        if cache is not None and isinstance(outcome, Outcome):
            cache.save(_key(dataset, plan, job), outcome)
        yield job, outcome


def _outcome(dataset: Dataset, plan: BenchmarkPlan, job: _Job) -> Outcome | str:
    if job.seed is not None:
        data, config = _variant(dataset, plan, job)
        log.info(f"{_label(job.name)}, seed {job.seed} ...")
        return _train_and_test(data, config, plan)
    log.info(f"{job.name} ...")
    try:
        return _tune_and_test(job.name, dataset, plan)
    except BaselineError as error:
        return str(error)


def _label(name: str) -> str:
    return ABLATIONS[name].label if name in ABLATIONS else name


def _variant(dataset: Dataset, plan: BenchmarkPlan, job: _Job) -> tuple[Dataset, TrainingConfig]:
    """What one run of MAGNET or of a variant trains on, and its settings."""
    variant = ABLATIONS.get(job.name, Ablation("full model"))
    config = variant.apply(plan.config).model_copy(update={"seed": job.seed})
    return variant.dataset(dataset), config


def _kept(cache: OutcomeCache, dataset: Dataset, plan: BenchmarkPlan, job: _Job) -> Outcome | None:
    data = dataset if job.seed is None else _variant(dataset, plan, job)[0]
    tested = plan.tested(data)
    key = _key(dataset, plan, job)
    return cache.load(key, tested, mask_validation=_masks_validation(tested))


def _key(dataset: Dataset, plan: BenchmarkPlan, job: _Job) -> str:
    """Under which the cache keeps an outcome."""
    if job.seed is None:
        return baseline_key(job.name, plan.tested(dataset), plan.seeds, plan.tuning_seconds)
    data, config = _variant(dataset, plan, job)
    return magnet_key(job.name, plan.tested(data), config)


def _together(runs: Sequence[Outcome]) -> Outcome:
    """The outcome of all seeds of a model, each run a whole one; a baseline's is one already."""
    if len(runs) == 1:
        return runs[0]
    return replace(
        runs[0],
        tests=tuple(test for run in runs for test in run.tests),
        fit_seconds=mean(run.fit_seconds for run in runs),
        seconds_per_epoch=mean(run.seconds_per_epoch or 0.0 for run in runs),
        peak_rss_mb=max(run.peak_rss_mb for run in runs),
        notes=tuple(dict.fromkeys(note for run in runs for note in run.notes)),
    )


def _tune_and_test(name: str, dataset: Dataset, plan: BenchmarkPlan) -> Outcome:
    reset_peak()
    tunable = thinned_validation(dataset)
    grid = BASELINES[name].grid
    tuned = tune(grid, tunable, seed=plan.seeds[0], max_seconds=plan.tuning_seconds)
    runs, seconds = [tuned.fitted], [tuned.fit_seconds]
    seeds = plan.seeds[:1] if isinstance(tuned.baseline, ClosedForm) else plan.seeds
    for seed in seeds[1:]:
        start = time.monotonic()
        runs.append(fit(tuned.baseline, tunable, seed, start + plan.tuning_seconds))
        seconds.append(time.monotonic() - start)
    unfinished = sum(not run.finished for run in runs)
    tested = plan.tested(dataset)
    if plan.published_protocol:
        start = time.monotonic()
        runs = [
            refit(tuned.baseline, tested, seed, run.epochs)
            for seed, run in zip(seeds, runs, strict=True)
        ]
        seconds = [each + (time.monotonic() - start) / len(runs) for each in seconds]
    notes = []
    if tuned.tried < len(grid):
        notes.append(
            f"{tuned.tried} of {len(grid)} settings tried in {plan.tuning_seconds / 60:g} minutes"
        )
    if unfinished:
        notes.append(
            f"{unfinished} of {len(runs)} runs stopped after {plan.tuning_seconds / 60:g} minutes, "
            "while validation still improved"
        )
    epochs = [run.seconds_per_epoch for run in runs if run.seconds_per_epoch is not None]
    return Outcome(
        settings=repr(tuned.baseline),
        tests=tuple(_test(run.score, tested) for run in runs),
        fit_seconds=mean(seconds),
        seconds_per_epoch=mean(epochs) if epochs else None,
        peak_rss_mb=peak_mb(),
        notes=tuple(notes),
    )


def _train_and_test(dataset: Dataset, config: TrainingConfig, plan: BenchmarkPlan) -> Outcome:
    reset_peak()
    start = time.monotonic()
    model = train(dataset, config, watch=Watch(on_epoch=partial(_report_epoch, config.seed)))
    if plan.published_protocol:
        trained = config.model_copy(update={"held_out": "trained"})
        model = train_on_all(dataset, trained, model, parts=("valid",))
    seconds = time.monotonic() - start
    device = choose_device(config.device)
    return Outcome(
        settings=repr(config),
        tests=(_test(model.score, plan.tested(dataset)),),
        fit_seconds=seconds,
        seconds_per_epoch=mean(record.seconds for record in model.history),
        peak_rss_mb=peak_mb(),
        notes=() if device.type == "cpu" else (f"trained on {torch.cuda.get_device_name(device)}",),
    )


def _test(score: ScoreFunction, dataset: Dataset) -> Evaluation:
    """The test part; where time splits the data, with validation items masked as well."""
    return evaluate(score, dataset, dataset.test, mask_validation=_masks_validation(dataset))


def _masks_validation(dataset: Dataset) -> bool:
    return dataset.split in ("time", "global-time") and dataset.valid.nnz > 0


def _report_epoch(seed: int, record: EpochRecord) -> None:
    log.info(
        f"magnet, seed {seed}, epoch {record.epoch} ({record.stage}): loss {record.loss:.4f}, "
        f"validation NDCG@20 {record.valid_ndcg20:.4f}, {record.seconds:.1f} s"
    )


def _report(name: str, outcome: Outcome) -> None:
    recall, ndcg = (mean(t.metrics[m] for t in outcome.tests) for m in ("recall@20", "ndcg@20"))
    log.info(f"{name}: Recall@20 {recall:.4f}, NDCG@20 {ndcg:.4f}")
