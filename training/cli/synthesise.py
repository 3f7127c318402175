"""`synthesise`: write a data folder in which users' preferences are planted, hence known."""

import logging
from pathlib import Path

import click

from training.cli.options import FOLDER, Command, Several, checked, settings_options
from training.data.synthetic import Planting, write_planting
from training.data.tables import writing

log = logging.getLogger(__name__)

_OPTIONS = {
    "users": "number of users",
    "items": "number of items",
    "choices": "mean number of choices per user",
    "noise": "share of choices that follow popularity alone",
    "mixed": "share of users whom two modalities drive",
    "cold": "share of items that nobody has chosen yet",
    "seed": "of everything random",
}
_MODALITIES: tuple[str, ...] = Planting.model_fields["modalities"].default


@click.command(cls=Command)
@click.option("--out", type=FOLDER, required=True, help="the data folder to write")
@settings_options(Planting, _OPTIONS)
@click.option(
    "--modalities",
    cls=Several,
    help=f"content modalities  [default: {' '.join(_MODALITIES)}]",
)
@click.option("--timestamps", is_flag=True, help="say when each choice was made")
def synthesise(out: Path, modalities: tuple[str, ...] | None, **options: object) -> None:
    """Write a complete data folder in which the reason of every choice is known.

    It holds interactions, titles, feature files, and planted.tsv, which names the modality that
    drives each user's choices. For behaviour, no feature shows what is chosen.
    """
    chosen = _MODALITIES if modalities is None else modalities
    planting = checked(Planting, options | {"modalities": chosen})
    with writing(out):
        data = write_planting(planting, out)
    num_choices = sum(map(len, data.chosen))
    log.info(
        f"wrote {out}: {planting.users:,} users, {planting.items:,} items, {num_choices:,} choices"
    )
