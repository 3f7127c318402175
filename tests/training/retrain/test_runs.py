import time
from pathlib import Path

from training.retrain.runs import Runs


def test_models_beyond_the_newest_go_and_records_stay(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    for version in ("v1", "v2", "v3", None, None):
        folder, record = runs.begin("shop")
        record.version = version
        if version is not None:
            folder.artifact.mkdir()
        record.end("refused", "")
        folder.write(record)
        time.sleep(0.01)  # a run's name has its millisecond
    runs.clean(1, {"v1"})
    kept = [record.version for folder, record in runs.newest_first() if folder.artifact.exists()]
    assert kept == ["v3", "v1"]
    assert len(list(runs.newest_first())) == 5
