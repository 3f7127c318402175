"""`synthesise`: write a data folder whose users' tastes are known because they were planted.

Knows the command line; the drawing is in `synthetic`.
"""

import argparse
import logging
from pathlib import Path

from training.data.synthetic import Planting, write_planting
from training.data.tables import DataError

log = logging.getLogger(__name__)

_OPTIONS = {
    "users": "number of users (default: %(default)s)",
    "items": "number of items (default: %(default)s)",
    "choices": "mean number of choices per user (default: %(default)s)",
    "noise": "share of choices that follow popularity alone (default: %(default)s)",
    "mixed": "share of users whom two modalities drive (default: %(default)s)",
    "cold": "share of items that nobody has chosen yet (default: %(default)s)",
    "seed": "of everything random (default: %(default)s)",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = (
        "Write a complete data folder: interactions, titles, feature files, and "
        "planted.tsv, which names the modality that drives each user's choices. For behaviour, "
        "no feature shows what is chosen."
    )
    parser.add_argument("--out", type=Path, required=True, help="the data folder to write")
    for name, text in _OPTIONS.items():
        default = Planting.model_fields[name].default
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)
    modalities = Planting.model_fields["modalities"].default
    parser.add_argument(
        "--modalities",
        nargs="*",
        default=modalities,
        help=f"content modalities (default: {' '.join(modalities)})",
    )
    parser.add_argument("--timestamps", action="store_true", help="say when each choice was made")
    parser.set_defaults(run=_synthesise)


def _synthesise(options: argparse.Namespace) -> None:
    planting = Planting(**{name: getattr(options, name) for name in Planting.model_fields})
    try:
        data = write_planting(planting, options.out)
    except FileExistsError as error:
        raise DataError(options.out, "exists and is not empty", "choose another --out") from error
    num_choices = sum(map(len, data.chosen))
    log.info(
        f"wrote {options.out}: {planting.users:,} users, {planting.items:,} items, "
        f"{num_choices:,} choices"
    )
