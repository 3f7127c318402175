"""Two real processes under torchrun train what one process trains; each gets its device."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model.artifact.files import read_artifact
from training.data.dataset import DataConfig, load_dataset
from training.evaluate.protocol import evaluate
from training.fit.config import TrainingConfig
from training.fit.distributed import ALONE, DeviceError, Processes, choose_device
from training.fit.trainer import train

PROJECT = Path(__file__).parents[3]
CONFIG = TrainingConfig(embedding_dim=8, batch_size=64, max_epochs=4)
OPTIONS = ["--embedding-dim", "8", "--batch-size", "64", "--max-epochs", "4"]
DYING_FOLLOWER = f"""
import os, pathlib, signal, sys
from deploy.cli.app import main
from training.fit.config import TrainingConfig
from training.data.dataset import DataConfig, load_dataset
from training.fit.distributed import joined
from training.fit.early import Watch
from training.fit.trainer import train

def die(record):
    if record.epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)

if os.environ["RANK"] == "0":
    sys.exit(main(sys.argv[1:]))
with joined() as processes:
    config = TrainingConfig.model_validate({CONFIG.model_dump()!r})
    dataset = load_dataset(DataConfig(folder=pathlib.Path(sys.argv[sys.argv.index("--data") + 1])))
    train(dataset, config, processes=processes, watch=Watch(on_epoch=die))
"""
OTHER_SEEDS = """
import os, sys
from deploy.cli.app import main
sys.exit(main([*sys.argv[1:], "--seed", os.environ["RANK"]]))
"""


def torchrun(*command: str | Path) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*launcher, *map(str, command)],
        cwd=PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def our_errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("error: ")]


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_two_processes_agree_with_one_even_across_a_crash(tiny_data: Path, tmp_path: Path) -> None:
    dataset = load_dataset(DataConfig(folder=tiny_data))
    one = train(dataset, CONFIG)
    out = tmp_path / "artifact"
    fit = ["fit", "--data", tiny_data, "--out", out, *OPTIONS]
    script = tmp_path / "dying_follower.py"
    script.write_text(DYING_FOLLOWER)

    crashed = torchrun(script, *fit)
    assert crashed.returncode != 0
    assert len(our_errors(crashed)) <= 1  # torchrun may end the leader before it can say anything
    assert not out.exists()

    done = torchrun("-m", "deploy.cli", *fit)
    assert done.returncode == 0, done.stderr
    assert "going on from" in done.stderr
    assert done.stderr.count("best epoch") == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["artifact"]

    manifest = read_artifact(out).manifest
    for two, alone in zip(manifest.training.history, one.history, strict=True):
        assert two.loss == pytest.approx(alone.loss, rel=1e-3)
        assert two.loss_terms == pytest.approx(alone.loss_terms, rel=1e-3, abs=1e-4)
        assert two.coverage_entropy == pytest.approx(alone.coverage_entropy, abs=1e-4)
        assert two.pair_entropy == pytest.approx(alone.pair_entropy, abs=1e-4)
        assert two.expert_shares == pytest.approx(alone.expert_shares, abs=1e-3)
        assert two.valid_ndcg20 == pytest.approx(alone.valid_ndcg20, abs=0.02)
    quality = evaluate(one.score, dataset, dataset.test).metrics["recall@20"]
    assert manifest.metrics["test/recall@20"] == pytest.approx(quality, abs=0.05)


@pytest.mark.slow
@pytest.mark.timeout(250)
def test_an_error_in_one_process_ends_all_with_one_message(tiny_data: Path, tmp_path: Path) -> None:
    script = tmp_path / "other_seeds.py"
    script.write_text(OTHER_SEEDS)
    done = torchrun(script, "fit", "--data", tiny_data, "--out", tmp_path / "a", *OPTIONS)
    assert done.returncode != 0
    (error,) = our_errors(done)
    assert "process 1 has other data or settings than process 0" in error
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_are_the_rows(count: int) -> None:
    rows = np.arange(5)
    places = [Processes(rank=rank, count=count) for rank in range(count)]
    shares = [place.share(rows) for place in places]
    assert sorted(np.concatenate(shares)) == rows.tolist()
    equal = [place.equal_share(rows) for place in places]
    assert {len(share) for share in equal} == {-(-5 // count)}
    assert set(np.concatenate(equal)) == set(rows)


def test_alone_everything_is_as_it_was() -> None:
    x = torch.tensor([0.1, 0.2], requires_grad=True)
    assert ALONE.mean(x) is x
    assert ALONE.from_leader("value") == "value"
    assert ALONE.equal_share(np.arange(5)).tolist() == [0, 1, 2, 3, 4]
    ALONE.require_equal("value", "anything")
    x.sum().backward()
    ALONE.average_gradients([x])
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1]


def test_devices_by_name() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(DeviceError, match="unknown"):
        choose_device("toaster")
    if not torch.cuda.is_available():
        assert choose_device("auto") == torch.device("cpu")
        with pytest.raises(DeviceError, match="CUDA is not available"):
            choose_device("cuda")


def test_every_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    places = [Processes(rank=4 + place, count=9, local_rank=place) for place in range(3)]
    chosen = [choose_device(name, places[1]) for name in ("auto", "cuda", "cpu")]
    assert chosen == [torch.device("cuda:1"), torch.device("cuda:1"), torch.device("cpu")]
    with pytest.raises(DeviceError, match=r"fewer GPUs \(2\) than processes"):
        choose_device("auto", places[2])
    with pytest.raises(DeviceError, match="one GPU for 9 processes: use cuda"):
        choose_device("cuda:0", places[0])
    assert choose_device("cuda:1") == torch.device("cuda:1")
