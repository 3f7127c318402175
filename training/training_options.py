"""Options of training on the command line.

Knows argparse and TrainingConfig; knows nothing about training.
"""

import argparse
import json

from training.commands import positive_number
from training.config import TrainingConfig

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
