"""Rows that cannot be used: where each stands, why, and what was found there.

Knows places and reasons; knows nothing about what makes a row unusable.
"""

from pathlib import Path

import polars as pl

_SCHEMA = {"file": pl.String, "line": pl.UInt32, "reason": pl.String, "value": pl.String}
_SHOWN_CHARACTERS = 200
"""Of a value: enough to find it by, and a rejects file that can be read."""


class Rejects:
    """Collected while tables are read; a row has one reason, the first that was found."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, int, str, str]] = []
        self._frames: list[pl.DataFrame] = []

    def add(self, path: Path, line: int, reason: str, value: str) -> None:
        """One row; `line` counts from 1, in a Parquet file it is the row."""
        self._rows.append((path.name, line, reason, value))

    def add_frame(self, frame: pl.DataFrame) -> None:
        """Rows with the columns `file`, `line`, `reason` and `value`."""
        self._frames.append(frame.select(pl.col(name).cast(x) for name, x in _SCHEMA.items()))

    @property
    def frame(self) -> pl.DataFrame:
        """All rows by file and line."""
        rows = pl.DataFrame(self._rows, schema=_SCHEMA, orient="row")
        return (
            pl.concat([rows, *self._frames])
            .with_columns(pl.col("value").str.slice(0, _SHOWN_CHARACTERS))
            .sort("file", "line")
        )

    def __len__(self) -> int:
        return len(self._rows) + sum(map(len, self._frames))
