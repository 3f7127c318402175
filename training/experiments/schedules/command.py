"""The command `schedule`: the entropy trigger beside fixed schedules.

Knows options and where results go; knows nothing about models.
"""

# FOLDED training/experiments/schedules/command.py: Trains under the entropy trigger and under fixed schedules, all else being equal.
#
#   Knows how to train and to measure; knows nothing about how figures are shown.
#

import argparse
import json
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from model.network.schedule import Switch
from training.cli.options import (
    add_data_options,
    add_seeds_option,
    add_set_option,
    data_config,
    data_options_of,
    training_config,
    training_options_of,
)
from training.cli.progress import epochs_shown
from training.data.dataset import Dataset, load_dataset
from training.data.tables import DataError
from training.evaluate.protocol import evaluate
from training.experiments.reporting import update_document
from training.experiments.schedules.report import (
    TRIGGER,
    Run,
    Schedules,
    as_json,
    as_markdown,
    draw_schedules,
)
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


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = (
        "Train under the entropy trigger, and with a second stage that begins at once, "
        "after 5, 10 or 20 epochs, or never; print what each reaches, with paired bootstrap "
        "intervals, and draw both entropies, expert shares and the trigger."
    )
    add_data_options(parser)
    add_seeds_option(parser)
    add_set_option(parser)
    parser.add_argument("--plot", type=Path, help="draw the first seed's runs into this SVG file")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument(
        "--document", type=Path, help="replace the data set's section of this Markdown file"
    )
    parser.set_defaults(run=_run, seed=0)


def _run(options: argparse.Namespace) -> None:
    dataset = load_dataset(data_config(options))
    log.info(dataset.summary)
    if dataset.test.nnz == 0:
        raise DataError(
            options.data,
            f"has no test positives under the split by {dataset.split}",
            "choose another --split",
        )
    result = run_schedules(dataset, training_config(options), range(options.seeds))
    section = as_markdown(result, _command(options), _picture(options))
    sys.stdout.write(section + "\n")
    if options.plot:
        options.plot.write_text(draw_schedules(result), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(as_json(result), indent=1) + "\n")
    if options.document:
        update_document(options.document, f"{dataset.name} schedule", section)


def _picture(options: argparse.Namespace) -> str | None:
    """The plot as the document links to it."""
    if options.plot is None or options.document is None:
        return None
    return Path(os.path.relpath(options.plot, options.document.parent)).as_posix()


def _command(options: argparse.Namespace) -> str:
    """The command as it should be typed to get the same report."""
    words = ["python", "-m", "training", "schedule", *data_options_of(options)]
    words += ["--seeds", str(options.seeds), *training_options_of(options)]
    for name in ("plot", "document"):
        path = getattr(options, name)
        if path:
            words += [f"--{name}", str(path)]
    return shlex.join(words)
