"""An import of many rows keeps them on disk: the same folder comes out, and memory stays small."""

import json
import sys
from pathlib import Path
from subprocess import run

import numpy as np
import polars as pl
import pytest

from training.data.tables import DataError
from training.ingest import rows
from training.ingest.guess import propose
from training.ingest.job import run_import
from training.ingest.mapping import Mapping
from training.ingest.sources import Given

TABLE = {"user": "user", "item": "item", "rating": "stars", "timestamp": "time"}


def events(num_rows: int, seed: int) -> pl.DataFrame:
    """Repeated pairs, ratings and times; some rows are bad."""
    rng = np.random.default_rng(seed)
    user_N, item_N = (rng.integers(0, count, num_rows) for count in (num_rows // 12 + 1, 60))
    return pl.DataFrame(
        {
            "user": [f"u{user}" if user % 97 else "" for user in user_N],
            "item": [f"item {item}" for item in item_N],
            "stars": rng.integers(1, 11, num_rows) / 2,
            "time": 1_700_000_000 + rng.integers(0, 30_000_000, num_rows),
        }
    )


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """A folder with a partition for each of three days."""
    for day in (1, 2, 3):
        folder = tmp_path / "events" / f"day=2026-01-0{day}"
        folder.mkdir(parents=True)
        events(1_000, day).write_parquet(folder / "part-0.parquet")
    return tmp_path / "events"


def written(folder: Path, out: Path, **keys: object) -> tuple[dict[str, bytes], dict]:
    """All files of an import, and its figures but for time and memory."""
    mapping = Mapping.model_validate(
        {"max_rejected": 1.0, "interactions": {"files": ["*.parquet"]} | TABLE | keys}
    )
    run_import([folder], mapping, out, force=True)
    figures = json.loads((out / "import.json").read_text())
    del figures["seconds"], figures["peak_mb"]
    names = [path.name for path in out.iterdir() if path.name != "import.json"]
    return {name: (out / name).read_bytes() for name in names}, figures


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"repeats": "sum", "min_rating": 4.0},
        {"repeats": "largest", "min_per_user": 8, "min_per_item": 38},
        {"timestamp": None, "rating": None},
    ],
)
def test_many_rows_give_the_same_folder(
    keys: dict, days: Path, tmp_path: Path, monkeypatch
) -> None:
    in_memory = written(days, tmp_path / "out", **keys)
    monkeypatch.setattr(rows, "MOST_ROWS", 250)
    monkeypatch.setattr(rows, "PARTS", 5)
    monkeypatch.setattr("training.ingest.sources.BATCH_ROWS", 100)
    kept = []
    monkeypatch.setattr(rows.Rows, "_write_stretch", counting(rows.Rows._write_stretch, kept))
    assert written(days, tmp_path / "out", **keys) == in_memory
    assert len(kept) >= 3
    found = in_memory[1]["interactions"]
    assert found["rejected"] > 0
    assert (found["left_out"] > 0) == ("min_per_user" in keys)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def counting(method, calls: list):
    def counted(self) -> None:
        calls.append(self)
        method(self)

    return counted


def test_nothing_is_left_of_an_import_that_fails(days: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(rows, "MOST_ROWS", 250)
    with pytest.raises(DataError, match="the most active user has"):
        written(days, tmp_path / "out", min_per_user=10_000)
    assert [path.name for path in tmp_path.iterdir()] == ["events"]


def test_partitions_are_read_with_what_their_names_say(days: Path) -> None:
    given = Given.of([days])
    assert [path.parent.name[-2:] for path in given.tables] == ["01", "02", "03"]
    values = propose(given, "utf-8").mapping.interactions
    assert (values.files, values.timestamp) == (["part-0.parquet"], "time")
    for path in given.tables:
        pl.read_parquet(path).drop("time").write_parquet(path)
    assert propose(given, "utf-8").mapping.interactions.timestamp == "day"


def test_a_rejected_row_says_in_which_partition_it_is(days: Path, tmp_path: Path) -> None:
    files, _ = written(days, tmp_path / "out")
    assert b"day=2026-01-02/part-0.parquet" in files["rejects.csv"]


MEASURED = """
import sys
from pathlib import Path
from training.data.files import peak_mb, reset_peak
from training.ingest import rows
from training.ingest.job import run_import
from training.ingest.mapping import Mapping
rows.MOST_ROWS, folder = int(sys.argv[1]), Path(sys.argv[2])
values = {"files": ["*.parquet"], "user": "user", "item": "item"}
mapping = Mapping.model_validate({"max_rejected": 1.0, "interactions": values})
run_import([folder / "few"], mapping, folder / "warm", force=True)
reset_peak()
start = peak_mb()
run_import([folder / "many"], mapping, folder / "out", force=True)
print(peak_mb() - start)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no peaks of memory here")
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    (tmp_path / "many").mkdir()
    rng = np.random.default_rng(0)
    for part in range(5):
        user_N, item_N = rng.integers(0, 50_000, 160_000), rng.integers(0, 500, 160_000)
        frame = pl.DataFrame({"user": user_N, "item": item_N}).cast(pl.String)
        frame.write_parquet(tmp_path / "many" / f"{part}.parquet")
    frame.write_parquet(tmp_path / "few" / "0.parquet")
    on_disk, in_memory = (
        float(
            run(
                [sys.executable, "-c", MEASURED, str(most), str(tmp_path)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for most in (80_000, 10_000_000)
    )
    assert on_disk < 0.5 * in_memory
    assert in_memory > 50  # or there was nothing to measure
