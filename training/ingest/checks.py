"""Checks of rows: those that fail go to the rejects, with the first reason that holds.

Knows expressions and reasons; knows nothing about what a column means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from training.ingest.formats import Rejects, missing
from training.ingest.sources import LINE

_BREAKS = r"[\t\r\n]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What makes a row unusable."""

    reason: str
    bad: pl.Expr
    value: pl.Expr
    """What the rejects file shows."""


def id_checks(what: str, column: str) -> list[Check]:
    """Of a column of stripped ids."""
    value = pl.col(column)
    return [
        Check(reason=f"no {what} id", bad=missing(value), value=value),
        Check(
            reason=f"{what} id with a tab or a line break",
            bad=value.str.contains(_BREAKS),
            value=value,
        ),
    ]


def passed(
    frame: pl.DataFrame, checks: Sequence[Check], path: Path, rejects: Rejects
) -> pl.DataFrame:
    """The rows that pass all checks; where a check's outcome is null, it holds."""
    faults = [
        pl.when(check.bad.fill_null(True)).then(
            pl.struct(reason=pl.lit(check.reason), value=check.value)
        )
        for check in checks
    ]
    marked = frame.with_columns(fault=pl.coalesce(faults))
    bad = marked.filter(pl.col("fault").is_not_null())
    if len(bad):
        rejects.add_frame(
            bad.select(
                pl.lit(path.name).alias("file"),
                pl.col(LINE).alias("line"),
                pl.col("fault").struct.field("reason"),
                pl.col("fault").struct.field("value"),
            )
        )
        frame = marked.filter(pl.col("fault").is_null()).drop("fault")
    return frame
