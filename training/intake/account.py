"""What an import did, as a summary.

Composes the figures of loaded tables; knows nothing about how they are shown.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from training.intake import summary
from training.intake.catalogue import CATEGORIES, DESCRIPTION, HIDDEN, PUBLIC, TITLE, YEAR
from training.intake.choices import ITEM, USER, VALUE
from training.intake.loaded import LoadedChoices, LoadedItems
from training.intake.pictures import PICTURE_URL
from training.intake.rejects import Rejects
from training.intake.source import Source
from training.intake.summary import Catalogue, Rows, Summary
from training.memory import peak_mb
from training.positives import POSITIVE_SHARE, scale_top


def account(
    name: str,
    choices: LoadedChoices,
    items: LoadedItems | None,
    threshold: float | None,
    features: Sequence[Path],
    seconds: float,
) -> Summary:
    """All figures.

    Args:
        name: of the data folder.
        choices: who interacted with what.
        items: what is known about them.
        threshold: value from which a row is a like; None for what `fit` takes by itself.
        features: files that came along.
        seconds: what the import has taken so far.
    """
    kept, top = choices.kept, None
    if threshold is None and VALUE in kept.columns:
        top = scale_top(kept[VALUE].to_numpy())
        threshold = POSITIVE_SHARE * top
    return Summary(
        name=name,
        interactions=_rows(
            choices.sources,
            choices.rejects,
            kept=len(kept),
            merged=len(choices.read) - len(choices.merged),
            left_out=len(choices.merged) - len(kept),
        ),
        users=kept[USER].n_unique(),
        items=kept[ITEM].n_unique(),
        density=summary.density(kept),
        per_user=summary.spread(kept, USER),
        per_item=summary.spread(kept, ITEM),
        likes=len(kept) if threshold is None else int((kept[VALUE] >= threshold).sum()),
        like_from=threshold,
        scale_top=top,
        above_scale=0 if top is None else int((kept[VALUE] > top).sum()),
        values=summary.values(kept),
        top_items=summary.top_items(kept),
        months=summary.months(kept),
        catalogue=None if items is None else _catalogue(items, kept[ITEM].unique()),
        features=[path.name for path in features],
        seconds=seconds,
        peak_mb=peak_mb(),
    )


def _rows(
    sources: Sequence[Source], rejects: Rejects, *, kept: int, merged: int = 0, left_out: int = 0
) -> Rows:
    return Rows(
        files=[source.path.name for source in sources],
        read=kept + merged + left_out + len(rejects),
        kept=kept,
        merged=merged,
        left_out=left_out,
        rejected=len(rejects),
        reasons=summary.reasons(rejects.frame),
    )


def _catalogue(items: LoadedItems, chosen: pl.Series) -> Catalogue:
    table, urls = items.table, items.pictures.urls
    words = [name for name in (TITLE, YEAR, CATEGORIES, DESCRIPTION) if name in table.columns]
    filled = {name: int((table[name] != "").sum()) for name in words}
    if (urls != "").any():
        filled[PICTURE_URL] = int((urls != "").sum())
    known = table[PUBLIC].is_in(chosen.implode())
    return Catalogue(
        rows=_rows(items.sources, items.rejects, kept=len(table), merged=items.merged),
        filled=filled,
        pictures=len(items.pictures.files),
        absent_pictures=items.pictures.absent,
        unavailable=int(table[HIDDEN].sum()) if HIDDEN in table.columns else 0,
        never_chosen=int((~known).sum()),
        unknown=len(chosen) - int(known.sum()),
    )
