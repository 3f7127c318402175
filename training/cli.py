"""The command line of the offline half: encode, fit, evaluate, benchmark, publish.

Composes the parts of one command each; knows nothing about how any of them works.
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

import torch
from pydantic import ValidationError

from training import encode_command
from training.allocator import reuse_large_buffers
from training.benchmark import MODELS, run_benchmark
from training.benchmark_report import as_json, as_markdown, update_document
from training.config import TrainingConfig
from training.dataset import DataConfig, load_dataset
from training.encode.encoder import EncoderError
from training.fit import FitError, evaluate_artifact, fit
from training.publish import PublishError, PublishPolicy, publish_artifact
from training.tables import DataError
from training.trainer import TrainingError

log = logging.getLogger(__name__)

_TRAINING_OPTIONS = {
    "max_epochs": "most epochs to train (default: %(default)s)",
    "patience": "epochs without a better validation NDCG@20 before stopping (default: %(default)s)",
    "batch_size": "positive pairs per step (default: %(default)s)",
    "learning_rate": "of the encoders (default: %(default)s)",
    "embedding_dim": "width of an embedding per modality and view (default: %(default)s)",
    "seed": "of everything random (default: %(default)s)",
    "device": "auto, cpu, cuda or cuda:N (default: %(default)s)",
}
_EXPLAINED = (DataError, EncoderError, FitError, PublishError, TrainingError)
"""Errors whose message is all that a user needs."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 on success, 1 with a message on an error, 130 when interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("training").setLevel(logging.INFO)
    reuse_large_buffers()
    _leave_room()
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            option = str(fault["loc"][0]).replace("_", "-") if fault["loc"] else "options"
            sys.stderr.write(f"error: --{option}: {fault['msg']} (got {fault['input']!r})\n")
        return 2
    except _EXPLAINED as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    return 0


def _leave_room() -> None:
    """Compute on half of the cores unless OMP_NUM_THREADS says otherwise.

    The tensors of a step are small: more threads gain little, and on a busy machine they wait for
    each other at every operation, which can make an epoch ten times as long.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train, evaluate and publish MAGNET, a multimodal mixture of graph experts.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    encode_command.add_command(commands)

    fitting = commands.add_parser(
        "fit",
        help="train on a folder of interactions and write an artifact",
        description="Train on a folder of interactions and write an artifact. A run that was "
        "killed goes on where it was when started again with the same data and options.",
    )
    _add_data(fitting)
    fitting.add_argument("--out", type=Path, required=True, help="the artifact folder to write")
    for name, text in _TRAINING_OPTIONS.items():
        default = TrainingConfig.model_fields[name].default
        flag = "--" + name.replace("_", "-")
        fitting.add_argument(flag, type=type(default), default=default, help=text)
    fitting.set_defaults(run=_fit)

    evaluating = commands.add_parser(
        "evaluate",
        help="measure an artifact on its data's test part",
        description="Rank all items for every test user as the service does (through head.onnx), "
        "with training items masked, and print the metrics overall and by group. The data are "
        "split as they were when the artifact was trained.",
    )
    evaluating.add_argument("artifact", type=Path, help="an artifact folder")
    evaluating.add_argument("--data", type=Path, required=True, help="the folder it was trained on")
    evaluating.set_defaults(run=_evaluate)

    benchmarking = commands.add_parser(
        "benchmark",
        help="compare MAGNET with tuned baselines on a folder of interactions",
        description="Tune every baseline on the validation part, train MAGNET and the baselines "
        "that have a seed with each seed, and print the table of the test part by group, with "
        "paired bootstrap intervals.",
    )
    _add_data(benchmarking)
    benchmarking.add_argument(
        "--seeds", type=int, default=3, help="seeds 0, 1, ... (default: %(default)s)"
    )
    benchmarking.add_argument(
        "--models", nargs="+", choices=MODELS, default=MODELS, help="default: all of them"
    )
    benchmarking.add_argument("--json", type=Path, help="write all figures to this file")
    benchmarking.add_argument(
        "--document", type=Path, help="replace the data set's section of this Markdown file"
    )
    benchmarking.set_defaults(run=_benchmark, seed=0)

    publishing = commands.add_parser(
        "publish",
        help="make an artifact the live model of a Redis-protocol server",
        description="Write an artifact to a Redis-protocol server, verify it there and make it "
        "live in one atomic step. A publish that fails or is killed changes nothing live.",
    )
    publishing.add_argument("artifact", type=Path, help="an artifact folder")
    publishing.add_argument("--redis-url", required=True, help="redis://[user:password@]host:port")
    publishing.add_argument("--namespace", default="default", help="default: %(default)s")
    publishing.add_argument(
        "--keep",
        type=int,
        default=PublishPolicy().keep,
        help="superseded versions to keep for a roll-back (default: %(default)s)",
    )
    publishing.set_defaults(run=_publish)
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder with one .inter file and, optionally, items.tsv and *_feat.npy, or with "
        "RecBole's atomic files",
    )
    parser.add_argument(
        "--min-rating",
        type=float,
        help="ratings from here on are positive (default: 0.8 of the largest: 4 of 5 stars)",
    )
    parser.add_argument(
        "--split",
        choices=["auto", "label", "time", "global-time", "random"],
        default="auto",
        help="how validation and test are held out (default: by label if there is one, else by "
        "time, else at random)",
    )
    parser.add_argument(
        "--modalities", nargs="*", help="content modalities to use (default: all that are found)"
    )


def _data(options: argparse.Namespace) -> DataConfig:
    return DataConfig(
        folder=options.data,
        min_rating=options.min_rating,
        split=options.split,
        seed=options.seed,
        modalities=options.modalities,
    )


def _fit(options: argparse.Namespace) -> None:
    config = TrainingConfig(**{name: getattr(options, name) for name in _TRAINING_OPTIONS})
    fit(_data(options), config, options.out)


def _evaluate(options: argparse.Namespace) -> None:
    evaluate_artifact(options.artifact, options.data)


def _benchmark(options: argparse.Namespace) -> None:
    dataset = load_dataset(_data(options))
    log.info(dataset.summary)
    result = run_benchmark(dataset, range(options.seeds), TrainingConfig(), options.models)
    command = f"python -m training benchmark --data {options.data} --seeds {options.seeds}"
    if options.document:
        command += f" --document {options.document}"
    sys.stdout.write(as_markdown(result, command) + "\n")
    if options.json:
        options.json.write_text(json.dumps(as_json(result), indent=1) + "\n")
    if options.document:
        update_document(options.document, result, command)


def _publish(options: argparse.Namespace) -> None:
    publish_artifact(
        options.artifact,
        options.redis_url,
        options.namespace,
        policy=PublishPolicy(keep=options.keep),
    )
