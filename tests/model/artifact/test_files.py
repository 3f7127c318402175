from pathlib import Path

import numpy as np
import psutil

from model.artifact.files import let_go


def test_what_is_let_go_takes_no_memory_and_is_read_again(tmp_path: Path) -> None:
    rows = np.arange(10_000_000, dtype=np.float32)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    view, process = np.asarray(mapped), psutil.Process()
    assert (view == rows).all()
    before = process.memory_info().rss
    let_go({"mapped": mapped, "in memory": rows})
    assert before - process.memory_info().rss > 0.9 * rows.nbytes
    assert (view == rows).all()
