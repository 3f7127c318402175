"""Options of the commands that read a data folder or train: each set becomes one settings object.

@data_options       # --data, --min-rating, --split, --modalities  ->  data: DataConfig
@training_options   # --max-epochs, ..., --set                     ->  config: TrainingConfig
def fit(data: DataConfig, config: TrainingConfig, ...) -> None: ...
"""

import json
from collections.abc import Callable
from pathlib import Path

import click

from training.cli.options import (
    FOLDER,
    Function,
    Several,
    checked,
    replacing,
    settings_options,
    with_options,
)
from training.data.dataset import DataConfig
from training.fit.config import TrainingConfig

_COMMON = {
    "max_epochs": "most epochs to train",
    "patience": "epochs without a better validation NDCG@20 before stopping",
    "batch_size": "most positive pairs per step",
    "learning_rate": "of the encoders",
    "embedding_dim": "width of an embedding per modality and view",
    "seed": "of everything random",
    "device": "auto, cpu, cuda or cuda:N",
}
_OTHERS = ", ".join(sorted(set(TrainingConfig.model_fields) - set(_COMMON)))
_SPLITS = ["auto", "label", "time", "global-time", "random"]


def data_options(function: Function) -> Function:
    """Which data to read and how to split them; the command's --seed is the split's too."""
    options = with_options(
        click.option(
            "--data",
            "folder",
            type=FOLDER,
            required=True,
            help="folder with one .inter file and, optionally, items.tsv and *_feat.npy, or with "
            "RecBole's atomic files",
        ),
        click.option(
            "--min-rating",
            type=float,
            help="ratings from here on are positive  [default: 0.8 of the scale's top: 4 of 5 "
            "stars]",
        ),
        click.option(
            "--split",
            type=click.Choice(_SPLITS),
            default="auto",
            help="how validation and test are held out  [default: by label if there is one, else "
            "by time, else at random]",
        ),
        click.option(
            "--modalities",
            cls=Several,
            help="content modalities to use  [default: all that are found]",
        ),
    )
    names = ("folder", "min_rating", "split", "modalities")
    return options(replacing(names, "data", _data_config)(function))


def training_options(function: Function) -> Function:
    """The settings that people change, each by its own option, and `--set` for the others."""
    make = replacing((*_COMMON, "settings"), "config", _training_config)
    return settings_options(TrainingConfig, _COMMON)(_set_option(make(function)))


def set_option(function: Function) -> Function:
    """`--set`, for any setting."""
    return _set_option(replacing(("settings",), "config", _training_config)(function))


def seeds_option(default: int) -> Callable[[Function], Function]:
    """`--seeds`, for what is trained several times."""
    return click.option(
        "--seeds",
        type=click.IntRange(min=1),
        default=default,
        show_default=True,
        help="seeds 0, 1, ...",
    )


def _set_option(function: Function) -> Function:
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_assignments,
        help="any other setting of training, such as --set temperature=0.2; may be repeated. "
        f"Names: {_OTHERS}",
    )(function)


def _assignments(
    _: click.Context, __: click.Parameter, texts: tuple[str, ...]
) -> dict[str, object]:
    """Settings by name; a value is JSON if it can be read as such, else text."""
    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.replace("-", "_")
        if not equals or name not in TrainingConfig.model_fields:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE with the name of a setting")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def _data_config(
    folder: Path, min_rating: float | None, split: str, modalities: tuple[str, ...] | None
) -> DataConfig:
    seed = click.get_current_context().params.get("seed", 0)
    values = {"folder": folder, "min_rating": min_rating, "split": split, "seed": seed}
    return checked(DataConfig, values | {"modalities": modalities})


def _training_config(settings: dict[str, object], **common: object) -> TrainingConfig:
    return checked(TrainingConfig, common | settings)
