"""The options of every command that reads a folder of interactions, and what they stand for.

Knows argparse and DataConfig; knows nothing about what a command does with the data.
"""

# FOLDED training/cli/options.py: The options of every command that talks to the Redis of one namespace.
#
#   Knows argparse only.
#
# FOLDED training/cli/options.py: Options of training on the command line.
#
#   Knows argparse and TrainingConfig; knows nothing about training.
#

import argparse
import json
import os
from pathlib import Path

from training.cli.app import positive_number
from training.data.dataset import DataConfig
from training.fit.config import TrainingConfig


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Register them."""
    parser.add_argument(
        "--redis-url",
        default=os.environ.get("REDIS_URL"),
        required="REDIS_URL" not in os.environ,
        help="redis://[user:password@]host:port, redis+sentinel://host:port,.../master or "
        "redis+cluster://host:port,... (rediss: TLS); default: the variable REDIS_URL; "
        "see docs/operations.md",
    )
    parser.add_argument("--namespace", default="default", help="default: %(default)s")


_COMMON = {
    "max_epochs": "most epochs to train (default: %(default)s)",
    "patience": "epochs without a better validation NDCG@20 before stopping (default: %(default)s)",
    "batch_size": "most positive pairs per step (default: %(default)s)",
    "learning_rate": "of the encoders (default: %(default)s)",
    "embedding_dim": "width of an embedding per modality and view (default: %(default)s)",
    "seed": "of everything random (default: %(default)s)",
    "device": "auto, cpu, cuda or cuda:N (default: %(default)s)",
}


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """The settings that users change, each by its own option, and `--set` for the others."""
    for name, text in _COMMON.items():
        default = TrainingConfig.model_fields[name].default
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type(default), default=default, help=text)
    add_set_option(parser)


def add_set_option(parser: argparse.ArgumentParser) -> None:
    """`--set`, for any setting."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        help="any other setting of training, such as --set temperature=0.2; may be repeated. "
        f"Names: {', '.join(sorted(set(TrainingConfig.model_fields) - set(_COMMON)))}",
    )


def add_seeds_option(parser: argparse.ArgumentParser) -> None:
    """`--seeds`, for what is trained several times."""
    parser.add_argument(
        "--seeds", type=positive_number, default=1, help="seeds 0, 1, ... (default: %(default)s)"
    )


def training_config(options: argparse.Namespace) -> TrainingConfig:
    """The settings that the options make; pydantic's ValidationError names a bad one."""
    common = {name: getattr(options, name) for name in _COMMON if hasattr(options, name)}
    return TrainingConfig.model_validate(common | dict(options.set))


def training_options_of(options: argparse.Namespace) -> list[str]:
    """`--set` as it was typed."""
    return [word for name, value in options.set for word in ("--set", f"{name}={value}")]


def _assignment(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals or name.replace("-", "_") not in TrainingConfig.model_fields:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE with the name of a setting")
    try:
        return name.replace("-", "_"), json.loads(value)
    except json.JSONDecodeError:
        return name.replace("-", "_"), value


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Register them."""
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
        help="ratings from here on are positive (default: 0.8 of the scale's top: 4 of 5 stars)",
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


def data_config(options: argparse.Namespace) -> DataConfig:
    """What was asked for; the command's `seed` is the split's too."""
    return DataConfig(
        folder=options.data,
        min_rating=options.min_rating,
        split=options.split,
        seed=options.seed,
        modalities=options.modalities,
    )


def data_options_of(options: argparse.Namespace) -> list[str]:
    """The words of a command line that asks for the same data."""
    words = ["--data", str(options.data)]
    if options.min_rating is not None:
        words += ["--min-rating", f"{options.min_rating:g}"]
    if options.split != "auto":
        words += ["--split", options.split]
    if options.modalities is not None:
        words += ["--modalities", *options.modalities]
    return words
