"""The command `schedule`: the entropy trigger beside fixed schedules.

Knows options and where results go; knows nothing about models.
"""

import argparse
import json
import logging
import os
import shlex
import sys
from pathlib import Path

from training.benchmark.document import update_document
from training.data_options import add_data_options, data_config, data_options_of
from training.dataset import load_dataset
from training.schedules.plot import draw_schedules
from training.schedules.report import as_json, as_markdown
from training.schedules.trial import run_schedules
from training.tables import DataError
from training.training_options import (
    add_seeds_option,
    add_set_option,
    training_config,
    training_options_of,
)

log = logging.getLogger(__name__)


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
