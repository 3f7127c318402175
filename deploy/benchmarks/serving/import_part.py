"""Part `import`: reading and checking own data, beside reading alone."""

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from deploy import PROJECT
from deploy.benchmarks.parts import Outcome, scaled

ROWS = 1_000_000
ROUNDS = 3
SEED = 0
_USERS, _ITEMS = 50_000, 20_000
_START = 1_600_000_000
_SPAN = 100_000_000
"""Seconds: interactions are from September 2020 to November 2023."""
_READ_ALONE = "import csv, sys; print(sum(1 for _ in csv.reader(open(sys.argv[1], newline=''))))"


class _Taken(NamedTuple):
    processor_s: float
    wall_s: float
    peak_mb: float
    """Peak memory that the command reports; NaN if it reports none."""


def measure() -> Outcome:
    """Compare importing own data with reading its fields."""
    rows = scaled(ROWS, 1_000)
    with tempfile.TemporaryDirectory() as scratch:
        files = _files(_drawn(rows), Path(scratch))
        reading = [sys.executable, "-c", _READ_ALONE, str(files["CSV"])]
        commands = {"reading its fields, by Python's csv": reading}
        commands |= {name: _importing(path) for name, path in files.items()}
        rounds = [[_run(words) for words in commands.values()] for _ in range(ROUNDS)]
    taken = [_Taken(*row) for row in np.median(rounds, axis=0)]
    floor, plain, *_ = taken
    over_reading = [each.processor_s / floor.processor_s for each in taken]
    figures = {
        "import_processor_s": round(plain.processor_s, 2),
        "import_over_reading": round(over_reading[1], 2),
        "import_peak_mb": round(plain.peak_mb),
    }
    lines = [
        {
            "": name,
            "processor s": f"{each.processor_s:.1f}",
            "over reading": f"{over:.1f}",
            "wall s": f"{each.wall_s:.1f}",
            "peak MB": "" if math.isnan(each.peak_mb) else f"{each.peak_mb:,.0f}",
        }
        for name, each, over in zip(commands, taken, over_reading, strict=True)
    ]
    protocol = f"""### Own data

`make bench BENCH=import`: `magnet import` of {rows:,} random interactions of {_USERS:,}
users and {_ITEMS:,} items with ratings and moments (seed {SEED}), columns guessed, the start of
Python included; a process of its own each time, the median of {ROUNDS} interleaved rounds.
Processor time is of all cores; wall time has in it whatever else the machine does."""
    return Outcome.of(figures, protocol, lines)


def _drawn(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(SEED)
    return pl.DataFrame(
        {
            "user": [f"user{user}" for user in rng.integers(_USERS, size=rows)],
            "item": [f"item-{item}" for item in rng.integers(_ITEMS, size=rows)],
            "rating": rng.integers(1, 11, size=rows) / 2,
            "timestamp": _START + rng.integers(_SPAN, size=rows),
        }
    )


def _files(drawn: pl.DataFrame, folder: Path) -> dict[str, Path]:
    """The same interactions in every format, by the format's name."""
    moment = pl.from_epoch("timestamp", time_unit="s").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    files = {
        "CSV": folder / "plain.csv",
        "CSV, dates as text": folder / "dated.csv",
        "JSON Lines": folder / "lines.jsonl",
        "Parquet": folder / "columns.parquet",
    }
    drawn.write_csv(files["CSV"])
    drawn.with_columns(moment.alias("timestamp")).write_csv(files["CSV, dates as text"])
    drawn.write_ndjson(files["JSON Lines"])
    drawn.write_parquet(files["Parquet"])
    return files


def _importing(path: Path) -> list[str]:
    words = ["import", str(path), "--out", str(path.with_suffix("")), "--force", "--json"]
    return [sys.executable, "-m", "deploy.cli", *words]


def _run(words: list[str]) -> _Taken:
    started = time.perf_counter()
    before = _children_s()
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    processor_s = _children_s() - before
    if done.returncode != 0:
        raise ValueError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    said = json.loads(done.stdout)
    return _Taken(
        processor_s=processor_s,
        wall_s=time.perf_counter() - started,
        peak_mb=said["peak_mb"] if isinstance(said, dict) else math.nan,
    )


def _children_s() -> float:
    """Processor time of all processes that have been started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
