"""Trains under the entropy trigger and under fixed schedules, all else being equal."""

import logging
from collections.abc import Sequence

from model.network.schedule import Switch
from training.cli.progress import epochs_shown
from training.data.dataset import Dataset
from training.evaluate.protocol import evaluate
from training.experiments.schedules.report import TRIGGER, Run, Schedules
from training.fit.config import TrainingConfig
from training.fit.trainer import train

log = logging.getLogger(__name__)

FIXED: tuple[Switch, ...] = ("never", 0, 5, 10, 20)
"""Stage switches that the trigger is compared with: never, or after so many epochs."""


def run_schedules(
    dataset: Dataset,
    config: TrainingConfig,
    seeds: Sequence[int],
    fixed: Sequence[Switch] = FIXED,
) -> Schedules:
    """Train once per schedule and seed; the test part is read once per run.

    Args:
        dataset: has validation and test positives.
        config: its seed and stage switch are replaced.
        seeds: at least one.
        fixed: schedules beside the entropy trigger, at least one.

    Raises:
        TrainingError: a model cannot be trained.
    """
    runs = {
        switch: tuple(
            _run_trial(dataset, config.model_copy(update={"seed": seed, "stage_switch": switch}))
            for seed in seeds
        )
        for switch in (TRIGGER, *fixed)
    }
    return Schedules(
        dataset_name=dataset.name, summary=dataset.summary, seeds=tuple(seeds), runs=runs
    )


def _run_trial(dataset: Dataset, config: TrainingConfig) -> Run:
    log.info(f"stage switch {config.stage_switch}, seed {config.seed}:")
    with epochs_shown(config) as on_epoch:
        model = train(dataset, config, on_epoch=on_epoch)
    return Run(
        seed=config.seed,
        history=model.history,
        best_epoch=model.best_epoch,
        trigger_epoch=model.trigger_epoch,
        experts=tuple(expert.name for expert in model.magnet.head.templates.experts),
        valid=evaluate(model.score, dataset, dataset.valid),
        test=evaluate(model.score, dataset, dataset.test),
    )
