"""What remains of the interactions: repeats merged, and who has too few left out.

Knows counts; knows nothing about files.
"""

import polars as pl

from training.intake.choices import FILE, ITEM, LABEL, TIME, USER, VALUE
from training.intake.mapping import Repeats
from training.intake.source import LINE


def merge_repeats(choices: pl.DataFrame, repeats: Repeats) -> pl.DataFrame:
    """One row per user and item (and label), in the order of the files.

    It is the latest one, by time if there is one and else by place; its value may be the largest,
    or the sum, of all.
    """
    pair = [name for name in (USER, ITEM, LABEL) if name in choices.columns]
    order = [name for name in (TIME, FILE, LINE) if name in choices.columns]
    ordered = choices.sort(order)
    if VALUE in choices.columns and repeats != "latest":
        value = pl.col(VALUE)
        whole = value.sum() if repeats == "sum" else value.max()
        ordered = ordered.with_columns(whole.over(pair))
    return ordered.unique(pair, keep="last").sort(FILE, LINE)


def keep_frequent(choices: pl.DataFrame, min_per_user: int, min_per_item: int) -> pl.DataFrame:
    """Without users and items that have fewer rows, until none of those left has fewer.

    With both minimums at k this is the k-core.
    """
    while True:
        kept = choices.filter(
            pl.len().over(USER) >= min_per_user, pl.len().over(ITEM) >= min_per_item
        )
        if len(kept) == len(choices):
            return kept
        choices = kept
