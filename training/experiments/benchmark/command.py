"""The command `benchmark`: MAGNET beside tuned baselines on a folder of interactions.

Knows options and where results go; knows nothing about models.
"""

import argparse
import json
import logging
import shlex
import sys
from pathlib import Path

from training.cli.options import (
    add_data_options,
    add_set_option,
    data_config,
    data_options_of,
    training_config,
    training_options_of,
)
from training.data.dataset import load_dataset
from training.experiments.benchmark.report import as_json, as_markdown
from training.experiments.benchmark.runner import (
    ABLATIONS,
    MODELS,
    BenchmarkPlan,
    OutcomeCache,
    run_benchmark,
)
from training.experiments.reporting import update_document

log = logging.getLogger(__name__)

_TUNING_MINUTES = 15.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = (
        "Tune every baseline on the validation part, train MAGNET and the baselines "
        "that have a seed with each seed, and print the table of the test part by group, with "
        "paired bootstrap intervals."
    )
    add_data_options(parser)
    parser.add_argument(
        "--seeds", type=int, default=3, help="seeds 0, 1, ... (default: %(default)s)"
    )
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=MODELS, help="default: all of them"
    )
    parser.add_argument(
        "--ablate",
        nargs="*",
        choices=ABLATIONS,
        metavar="VARIANT",
        help="also train MAGNET without some of its pieces, all of them one by one if none is "
        f"named: {', '.join(ABLATIONS)}",
    )
    parser.add_argument(
        "--tuning-minutes",
        type=float,
        default=_TUNING_MINUTES,
        metavar="MINUTES",
        help="most time to tune one baseline; what is cut short is named in the report "
        "(default: %(default)g)",
    )
    parser.add_argument(
        "--reuse",
        type=Path,
        metavar="DIR",
        help="take what was trained before from this folder, where data, settings, seeds and "
        "code are the same as when it was put there, and put the rest there",
    )
    add_set_option(parser)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument(
        "--document", type=Path, help="replace the data set's section of this Markdown file"
    )
    parser.set_defaults(run=_run, seed=0)


def _run(options: argparse.Namespace) -> None:
    dataset = load_dataset(data_config(options))
    log.info(dataset.summary)
    plan = BenchmarkPlan(
        seeds=tuple(range(options.seeds)),
        config=training_config(options),
        models=tuple(options.models),
        ablations=tuple(ABLATIONS) if options.ablate == [] else tuple(options.ablate or ()),
        tuning_seconds=60 * options.tuning_minutes,
    )
    cache = OutcomeCache(options.reuse) if options.reuse else None
    result = run_benchmark(dataset, plan, cache)
    section = as_markdown(result, _command(options))
    sys.stdout.write(section + "\n")
    if options.json:
        options.json.write_text(json.dumps(as_json(result), indent=1) + "\n")
    if options.document:
        update_document(options.document, dataset.name, section)


def _command(options: argparse.Namespace) -> str:
    """The command as it should be typed to get the same report."""
    words = ["python", "-m", "training", "benchmark", *data_options_of(options)]
    words += ["--seeds", str(options.seeds), *training_options_of(options)]
    if tuple(options.models) != MODELS:
        words += ["--models", *options.models]
    if options.ablate is not None:
        words += ["--ablate", *options.ablate]
    if options.tuning_minutes != _TUNING_MINUTES:
        words += ["--tuning-minutes", f"{options.tuning_minutes:g}"]
    if options.document:
        words += ["--document", str(options.document)]
    return shlex.join(words)
