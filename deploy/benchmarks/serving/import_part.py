"""Part `import`: reading and checking own data, beside reading alone."""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from deploy.benchmarks.serving.rig import Outcome, Part, scaled
from deploy.local.workspace import PROJECT
from training.reporting.documents import table

ROWS = 1_000_000
ROUNDS = 3
SEED = 0
_USERS, _ITEMS = 50_000, 20_000
_START = 1_600_000_000
_SPAN = 100_000_000
"""Of the moments, in seconds: from September 2020 on, for three years."""
_READ_ALONE = "import csv, sys; print(sum(1 for _ in csv.reader(open(sys.argv[1], newline=''))))"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    processor_s: float
    wall_s: float
    peak_mb: float | None
    """As the command tells it; None of what tells nothing."""


def _measure() -> Outcome:
    rows = scaled(ROWS, 1_000)
    with tempfile.TemporaryDirectory() as scratch:
        files = _files(_drawn(rows), Path(scratch))
        commands = {"reading its fields, by Python's csv": _reading(files[0][1])}
        commands |= {name: _importing(path) for name, path in files}
        rounds = [{name: _run(words) for name, words in commands.items()} for _ in range(ROUNDS)]
    taken = {name: _median([each[name] for each in rounds]) for name in commands}
    floor, plain, *_ = taken.values()
    lines = [
        (
            name,
            f"{each.processor_s:.1f}",
            f"{each.processor_s / floor.processor_s:.1f}",
            f"{each.wall_s:.1f}",
            f"{each.peak_mb:,.0f}" if each.peak_mb is not None else "",
        )
        for name, each in taken.items()
    ]
    header = ("", "processor s", "over reading", "wall s", "peak MB")
    return Outcome(
        figures={
            "import_processor_s": round(plain.processor_s, 2),
            "import_over_reading": round(plain.processor_s / floor.processor_s, 2),
            "import_peak_mb": round(plain.peak_mb or 0),
        },
        text=f"{_protocol(rows)}\n\n{table(header, lines)}",
    )


def _protocol(rows: int) -> str:
    return f"""### Own data

`make bench BENCH=import`: `magnet import` of {rows:,} random interactions of {_USERS:,}
users and {_ITEMS:,} items with ratings and moments (seed {SEED}), columns guessed, the start of
Python included; a process of its own each time, the median of {ROUNDS} interleaved rounds.
Processor time is of all cores; wall time has in it whatever else the machine does."""


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


def _files(drawn: pl.DataFrame, folder: Path) -> list[tuple[str, Path]]:
    moment = pl.from_epoch("timestamp", time_unit="s").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    dated = drawn.with_columns(moment.alias("timestamp"))
    writers: dict[str, tuple[str, Callable[[Path], object]]] = {
        "CSV": ("plain.csv", drawn.write_csv),
        "CSV, dates as text": ("dated.csv", dated.write_csv),
        "JSON Lines": ("lines.jsonl", drawn.write_ndjson),
        "Parquet": ("columns.parquet", drawn.write_parquet),
    }
    for name, write in writers.values():
        write(folder / name)
    return [(title, folder / name) for title, (name, _) in writers.items()]


def _reading(path: Path) -> list[str]:
    return [sys.executable, "-c", _READ_ALONE, str(path)]


def _importing(path: Path) -> list[str]:
    out = path.with_suffix("")
    words = ["import", str(path), "--out", str(out), "--force", "--json"]
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
        peak_mb=said["peak_mb"] if isinstance(said, dict) else None,
    )


def _children_s() -> float:
    """Processor time of all processes that have been started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _median(taken: list[_Taken]) -> _Taken:
    peaks = [each.peak_mb for each in taken if each.peak_mb is not None]
    return _Taken(
        processor_s=statistics.median(each.processor_s for each in taken),
        wall_s=statistics.median(each.wall_s for each in taken),
        peak_mb=statistics.median(peaks) if peaks else None,
    )


IMPORT = Part(name="import", summary="own data, beside reading alone", measure=_measure)
