"""Rows that cannot be used: what makes a row unusable, and a record of each with its reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pydantic import BaseModel, ConfigDict

from training.ingest.values import SHORTENED, WHOLE_FLOAT, missing

LINE = "\0line"
"""The column that says on which line, or in which row of a Parquet file, a row begins; from 1. No
file has a column of this name."""
_SCHEMA = {"file": pl.String, "line": pl.UInt32, "reason": pl.String, "value": pl.String}
_SHOWN_CHARACTERS = 200
"""Most characters of a value in the rejects file, so that it stays readable."""
_EXAMPLES = 3
"""Rows that are shown for each reason."""
AGAIN = "item came before"
"""A reason."""
_CONTROL = r"\p{Cc}"
MAX_ID = 256
"""Characters: the service takes no longer one."""


def shown(path: Path) -> str:
    """A file's name, behind the names of the partitions that it is in (`day=2026-01-31`)."""
    partitions = [folder for folder in path.parts[:-1] if "=" in folder]
    return "/".join([*partitions, path.name])


class Rejected(BaseModel):
    """Rows with one reason."""

    model_config = ConfigDict(frozen=True)

    rows: int
    examples: list[str]
    """`file:line: value`."""


class Rejects:
    """Collects unusable rows while tables are read; each has one reason, the first found."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, int, str, str]] = []
        self._frames: list[pl.DataFrame] = []
        self.whole_ids: dict[str, int] = {}
        """Ids that were stored with decimals (12.0), counted by `user` and `item`."""
        self._beyond_ascii: dict[str, pl.Series] = {}

    def note_ids(self, what: str, ids: pl.Series, read: pl.Series) -> None:
        """Note ids as they are stored, and as they are read."""
        found = int(ids.str.strip_chars().str.contains(WHOLE_FLOAT).sum())
        if found:
            self.whole_ids[what] = self.whole_ids.get(what, 0) + found
        fresh = read.filter(read.str.len_bytes() != read.str.len_chars())
        if len(fresh):
            known = self._beyond_ascii.get(what, fresh.clear())
            self._beyond_ascii[what] = pl.concat([known, fresh.rename(known.name)]).unique()

    @staticmethod
    def respelled(rejects: Sequence["Rejects"]) -> dict[str, list[str]]:
        """Ids by `user` and `item` that occur in several spellings that look the same."""
        found: dict[str, list[str]] = {}
        for what in dict.fromkeys(x for each in rejects for x in each._beyond_ascii):
            parts = [x._beyond_ascii[what] for x in rejects if what in x._beyond_ascii]
            ids = pl.concat(part.rename(what) for part in parts).unique()
            first = pl.DataFrame({"id": ids, "form": ids.str.normalize("NFC")}).sort("id")
            again = first.filter(~pl.col("form").is_first_distinct())["form"].unique().sort()
            if len(again):
                found[what] = again.to_list()
        return found

    def add(self, path: Path, line: int, reason: str, value: str) -> None:
        """Add one row."""
        self._rows.append((shown(path), line, reason, value))

    def add_frame(self, frame: pl.DataFrame) -> None:
        """Add rows with the columns `file`, `line`, `reason` and `value`."""
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

    def by_reason(self) -> dict[str, Rejected]:
        """Counts and examples by reason, the most frequent first."""
        found: dict[str, Rejected] = {}
        for (reason,), group in self.frame.group_by("reason", maintain_order=True):
            head = group.head(_EXAMPLES).iter_rows(named=True)
            examples = [f"{row['file']}:{row['line']}: {row['value']!r}" for row in head]
            found[str(reason)] = Rejected(rows=len(group), examples=examples)
        return dict(sorted(found.items(), key=lambda entry: -entry[1].rows))

    def __len__(self) -> int:
        return len(self._rows) + sum(map(len, self._frames))


@dataclass(frozen=True, slots=True)
class Check:
    """What makes a row unusable."""

    reason: str
    bad: pl.Expr
    value: pl.Expr
    """What the rejects file shows."""


def id_checks(what: str, column: str) -> list[Check]:
    """The checks of a column of stripped ids."""
    value = pl.col(column)
    return [
        Check(f"no {what} id", missing(value), value),
        Check(
            f"{what} id with a tab, a line break or the like", value.str.contains(_CONTROL), value
        ),
        Check(f"{what} id of over {MAX_ID} characters", value.str.len_chars() > MAX_ID, value),
        Check(f"{what} id shortened by a spreadsheet", value.str.contains(SHORTENED), value),
    ]


def passed(
    frame: pl.DataFrame, checks: Sequence[Check], path: Path, rejects: Rejects
) -> pl.DataFrame:
    """The rows that pass all checks; the others are rejected. A null outcome counts as bad."""
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
                pl.lit(shown(path)).alias("file"),
                pl.col(LINE).alias("line"),
                pl.col("fault").struct.field("reason"),
                pl.col("fault").struct.field("value"),
            )
        )
        frame = marked.filter(pl.col("fault").is_null()).drop("fault")
    return frame
