"""The command line of the offline half: data, fit, evaluate, benchmark, faithfulness, publish.

Composes the parts of one command each; knows nothing about how any of them works.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

import torch
from pydantic import ValidationError

from model.contract.artifact import ArtifactError
from training import encode_command, faithfulness_command, models_command, synthesise_command
from training.allocator import reuse_large_buffers
from training.benchmark import command as benchmark_command
from training.cold_start import command as cold_start_command
from training.data_options import add_data_options, data_config
from training.devices import DeviceError
from training.encode.encoder import EncoderError
from training.event_log import command as events_command
from training.event_log.log import EventLogError
from training.fit import FitError, assist, evaluate_artifact, fit
from training.processes import ProcessesError, joined
from training.publish import PublishError, PublishPolicy, publish_artifact
from training.retrain import command as retrain_command
from training.retrain.settings import RetrainConfigError
from training.schedules import command as schedules_command
from training.server_options import add_server_options
from training.tables import DataError
from training.trainer import TrainingError
from training.training_options import add_training_options, training_config

log = logging.getLogger(__name__)

_EXPLAINED = (
    ArtifactError,
    DataError,
    DeviceError,
    EncoderError,
    EventLogError,
    FitError,
    ProcessesError,
    PublishError,
    RetrainConfigError,
    TrainingError,
)
"""Errors whose message is all that a user needs."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 on success, 1 with a message on an error, 130 when interrupted.

    A command that has more to say returns a status of its own.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("training").setLevel(logging.INFO)
    reuse_large_buffers()
    _leave_room()
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options) or 0
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

    synthesise_command.add_command(commands)
    encode_command.add_command(commands)

    fitting = commands.add_parser(
        "fit",
        help="train on a folder of interactions and write an artifact",
        description="Train on a folder of interactions and write an artifact. A run that was "
        "killed goes on where it was when started again with the same data and options. On "
        "several processors: torchrun --nproc-per-node=2 -m training fit ...",
    )
    add_data_options(fitting)
    fitting.add_argument("--out", type=Path, required=True, help="the artifact folder to write")
    add_training_options(fitting)
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

    benchmark_command.add_command(commands)
    cold_start_command.add_command(commands)
    schedules_command.add_command(commands)
    faithfulness_command.add_command(commands)

    publishing = commands.add_parser(
        "publish",
        help="make an artifact the live model of a Redis-protocol server",
        description="Write an artifact to a Redis-protocol server, verify it there and make it "
        "live in one atomic step. A publish that fails or is killed changes nothing live.",
    )
    publishing.add_argument("artifact", type=Path, help="an artifact folder")
    add_server_options(publishing)
    publishing.add_argument(
        "--keep",
        type=int,
        default=PublishPolicy().keep,
        help="superseded versions to keep for a roll-back (default: %(default)s)",
    )
    publishing.set_defaults(run=_publish)

    models_command.add_command(commands)
    events_command.add_command(commands)
    retrain_command.add_command(commands)
    return parser


def _fit(options: argparse.Namespace) -> None:
    with joined() as processes:
        if processes.leads:
            fit(data_config(options), training_config(options), options.out, processes)
        else:
            assist(data_config(options), training_config(options), processes)


def _evaluate(options: argparse.Namespace) -> None:
    evaluate_artifact(options.artifact, options.data)


def _publish(options: argparse.Namespace) -> None:
    publish_artifact(
        options.artifact,
        options.redis_url,
        options.namespace,
        policy=PublishPolicy(keep=options.keep),
    )
