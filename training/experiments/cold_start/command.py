"""The command `cold-start`: what a model is worth to users and items it was not trained with.

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
    add_seeds_option,
    add_set_option,
    data_config,
    data_options_of,
    training_config,
    training_options_of,
)
from training.data.dataset import load_dataset
from training.data.tables import DataError
from training.experiments.cold_start.report import as_json, as_markdown
from training.experiments.cold_start.runner import (
    ColdStartPlan,
    NothingToMeasureError,
    run_cold_start,
)
from training.experiments.reporting import update_document

log = logging.getLogger(__name__)

_SHARE = 0.1


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = (
        "Withhold a share of the users from training, and in another training the "
        "interactions of a share of the items; serve them without training, and print what that "
        "reaches beside a model that was trained with them, content neighbours, popularity and "
        "chance, with paired bootstrap intervals."
    )
    add_data_options(parser)
    parser.add_argument(
        "--share",
        type=_share,
        default=_SHARE,
        help="of the users, and of the items, that is withheld (default: %(default)s)",
    )
    add_seeds_option(parser)
    add_set_option(parser)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument(
        "--document", type=Path, help="replace the data set's section of this Markdown file"
    )
    parser.set_defaults(run=_run, seed=0)


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got {text}")
    return share


def _run(options: argparse.Namespace) -> None:
    dataset = load_dataset(data_config(options))
    log.info(dataset.summary)
    plan = ColdStartPlan(
        seeds=tuple(range(options.seeds)), config=training_config(options), share=options.share
    )
    try:
        result = run_cold_start(dataset, plan)
    except NothingToMeasureError as error:
        raise DataError(
            options.data, str(error), "raise --share or choose another --split"
        ) from error
    section = as_markdown(result, _command(options))
    sys.stdout.write(section + "\n")
    if options.json:
        options.json.write_text(json.dumps(as_json(result), indent=1) + "\n")
    if options.document:
        update_document(options.document, f"{dataset.name} cold-start", section)


def _command(options: argparse.Namespace) -> str:
    """The command as it should be typed to get the same report."""
    words = ["python", "-m", "training", "cold-start", *data_options_of(options)]
    if options.share != _SHARE:
        words += ["--share", f"{options.share:g}"]
    words += ["--seeds", str(options.seeds), *training_options_of(options)]
    if options.document:
        words += ["--document", str(options.document)]
    return shlex.join(words)
