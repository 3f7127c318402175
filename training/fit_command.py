"""The commands `fit`, `export` and `evaluate`: data in, artifact out; artifact in, metrics out.

Knows the command line; the jobs are in `fit`.
"""

import argparse
import json
import sys
from pathlib import Path

from training.data_options import add_data_options, data_config
from training.fit import assist, evaluate_artifact, export, fit
from training.processes import joined
from training.training_options import add_training_options, training_config


def configure_fit(parser: argparse.ArgumentParser) -> None:
    """Describe `fit` and register its options."""
    parser.description = (
        "Train on a folder of interactions and write an artifact. A run that was killed goes on "
        "where it was when started again with the same data and options. On several processors: "
        "torchrun --nproc-per-node=2 -m training fit ..."
    )
    add_data_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="the artifact folder to write")
    add_training_options(parser)
    parser.set_defaults(run=_fit)


def configure_export(parser: argparse.ArgumentParser) -> None:
    """Describe `export` and register its options."""
    parser.description = (
        "Write an artifact of the best epoch so far of a training that was stopped, or that is "
        "still going on, without training further. Data and options are those of its `fit`, which "
        "exports by itself when it ends; it can go on afterwards."
    )
    add_data_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="the --out of its `fit`")
    add_training_options(parser)
    parser.set_defaults(run=_export)


def configure_evaluate(parser: argparse.ArgumentParser) -> None:
    """Describe `evaluate` and register its options."""
    parser.description = (
        "Rank all items for every test user as the service does (through head.onnx), with training "
        "items masked, and print the metrics overall and by group. The data are split as they were "
        "when the artifact was trained."
    )
    parser.add_argument("artifact", type=Path, help="an artifact folder")
    parser.add_argument("--data", type=Path, required=True, help="the folder it was trained on")
    parser.add_argument(
        "--json", action="store_true", help="print all metrics as JSON on standard output"
    )
    parser.set_defaults(run=_evaluate)


def _fit(options: argparse.Namespace) -> None:
    with joined() as processes:
        if processes.leads:
            fit(data_config(options), training_config(options), options.out, processes)
        else:
            assist(data_config(options), training_config(options), processes)


def _export(options: argparse.Namespace) -> None:
    export(data_config(options), training_config(options), options.out)


def _evaluate(options: argparse.Namespace) -> None:
    evaluation = evaluate_artifact(options.artifact, options.data)
    if options.json:
        figures = {"metrics": evaluation.metrics, "groups": evaluation.groups}
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
