"""An import by the number of rows: Parquet files partitioned by day."""

import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from deploy.benchmarks.parts import Outcome, scale
from deploy.benchmarks.scaling.apart import apart
from training.data.files import peak_mb, reset_peak
from training.ingest.job import run_import
from training.ingest.mapping import Mapping

ROWS = (10_000_000, 30_000_000, 100_000_000)
_DAYS = 50
_FIRST_DAY = date(2026, 1, 1)
_FIRST_SECOND = 1_767_225_600
_PER_USER, _PER_ITEM = 10, 100
_SKEW = 2.5
_MAPPING = Mapping.model_validate(
    {
        "interactions": {
            "files": ["*.parquet"],
            "user": "user_id",
            "item": "item_id",
            "timestamp": "timestamp",
        }
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import has taken."""

    rows: int
    seconds: float
    """Processor time."""
    wall: float
    peak_mb: float


def write_days(num_rows: int, folder: Path) -> None:
    """A file for each day, as large as the others."""
    rng = np.random.default_rng(0)
    count = num_rows // _DAYS
    users, items = (max(10, num_rows // each) for each in (_PER_USER, _PER_ITEM))
    for day in range(_DAYS):
        partition = folder / f"day={_FIRST_DAY + timedelta(day)}"
        partition.mkdir(parents=True)
        pl.DataFrame(
            {
                "user_id": rng.integers(users, size=count),
                "item_id": (items * rng.random(count) ** _SKEW).astype(np.int64),
                "timestamp": np.sort(rng.integers(86_400, size=count))
                + _FIRST_SECOND
                + 86_400 * day,
            }
        ).write_parquet(partition / "part-0.parquet")


def imported(num_rows: int) -> Imported:
    """Make files and import them, in this process."""
    with tempfile.TemporaryDirectory(prefix="rows-", dir=".") as name:
        folder = Path(name)
        write_days(num_rows, folder / "events")
        reset_peak()
        seconds, wall = time.process_time(), time.monotonic()
        summary = run_import([folder / "events"], _MAPPING, folder / "out", force=False)
        return Imported(
            rows=summary.interactions.read,
            seconds=time.process_time() - seconds,
            wall=time.monotonic() - wall,
            peak_mb=peak_mb(),
        )


def measure() -> Outcome:
    """Import tables of three sizes, each in a process of its own."""
    found = []
    for num_rows in ROWS:
        found.append(apart(imported, round(scale() * num_rows)))
        sys.stderr.write(f"  {found[-1]}\n")
    rows = [
        {
            "rows": f"{x.rows:,}",
            "s of processor time": f"{x.seconds:.0f}",
            "s by the clock": f"{x.wall:.0f}",
            "MB at most": f"{x.peak_mb:,.0f}",
        }
        for x in found
    ]
    last = found[-1]
    return Outcome.of(
        {
            "import_100m_peak_mb": last.peak_mb,
            "import_100m_seconds": last.wall,
            "import_100m_processor_seconds": last.seconds,
        },
        f"**Import by rows.** `magnet import` of {_DAYS} Parquet files in folders by day, "
        f"{_PER_USER} rows for each user and {_PER_ITEM} for each item (aim for 100 million: 4 GB, "
        "20 minutes).",
        rows,
    )
