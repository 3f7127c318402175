"""Commands on a Ray cluster of two nodes: the same results, also if one is killed meanwhile."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper
from PIL import Image

from deploy.benchmarks.serving.grown import grown_artifact
from model.artifact.files import read_artifact, write_artifact
from tests.training.cluster.conftest import Killing, Magnet, TwoNodes

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1200)]
NUM_PICTURES, SIDE = 60, 1200
FIT = ["--embedding-dim", "16", "--max-epochs", "6"]


@pytest.fixture
def both(nodes: TwoNodes) -> Iterator[TwoNodes]:
    """A test may kill the second node; the next one has another."""
    yield nodes
    nodes.tell("add")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures that take some time each, and an encoder that averages their colours."""
    folder = tmp_path / "shop"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    ids = [f"i{item:03d}" for item in range(NUM_PICTURES)]
    (folder / "items.tsv").write_text("\n".join(["item_id\ttitle", *(f"{x}\t{x}" for x in ids)]))
    for item_id in ids:
        pixels = rng.integers(0, 255, size=(30, 30, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((SIDE, SIDE))
        image.save(folder / "images" / f"{item_id}.png", compress_level=1)
    shape = ["batch", 3, 64, 64]
    pixels_in = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)
    out = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", 3, 1, 1])
    mean = helper.make_node("GlobalAveragePool", ["pixels"], ["vector"])
    graph = helper.make_graph([mean], "tiny", [pixels_in], [out])
    opset = helper.make_opsetid("", 17)
    onnx.save(
        helper.make_model(graph, opset_imports=[opset], ir_version=8), folder / "encoder.onnx"
    )
    return folder


def num_encoded(out: Path) -> int:
    cache = out / ".encoded.sqlite"
    if not cache.exists():
        return 0
    with closing(sqlite3.connect(cache, timeout=10)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
        if ("vectors",) not in tables:
            return 0
        return connection.execute("SELECT COUNT(*) FROM vectors").fetchone()[0]


def test_encoding(both: TwoNodes, magnet: Magnet, pictures: Path, tmp_path: Path) -> None:
    encode = ["encode", "--data", pictures, "--images", pictures / "encoder.onnx"]
    encode += ["--batch-size", "2"]
    plain, out = tmp_path / "plain", tmp_path / "out"
    assert magnet(*encode, "--out", plain).returncode == 0
    lost = Killing(both, lambda: num_encoded(out) > 0)
    done = magnet(*encode, "--out", out, "--ray", both.address, meanwhile=lost)
    assert done.returncode == 0, done.stderr
    assert lost.done
    assert f"{NUM_PICTURES} items have content ({NUM_PICTURES} newly encoded)" in done.stderr
    np.testing.assert_allclose(
        np.load(out / "visual_feat.npy"), np.load(plain / "visual_feat.npy"), rtol=1e-5
    )


def test_lists_for_all(both: TwoNodes, magnet: Magnet, tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    write_artifact(artifact, grown_artifact(2_000, 40_000, 0))
    command = ["recommend", "--all", "--k", "10", "--artifact", artifact]
    plain, out = tmp_path / "plain.parquet", tmp_path / "out.parquet"
    assert magnet(*command, "--out", plain).returncode == 0
    parts = tmp_path / "out.parquet.parts"
    lost = Killing(both, lambda: any(parts.glob("*.parquet")))
    done = magnet(*command, "--out", out, "--ray", both.address, meanwhile=lost)
    assert done.returncode == 0, done.stderr
    assert lost.done
    assert "the lists of 40,000 users" in done.stdout
    assert not parts.exists()
    ours, theirs = pl.read_parquet(out), pl.read_parquet(plain)
    assert ours.drop("score").equals(theirs.drop("score"))
    np.testing.assert_allclose(ours["score"], theirs["score"], rtol=1e-5)


@pytest.fixture
def shop(magnet: Magnet, tmp_path: Path) -> Path:
    """What takes some seconds to train on."""
    folder = tmp_path / "planted"
    made = magnet("synthesise", "--out", folder, "--users", "1500", "--items", "600")
    assert made.returncode == 0, made.stderr
    return folder


def test_training(both: TwoNodes, magnet: Magnet, shop: Path, tmp_path: Path) -> None:
    fit = ["fit", "--data", shop, *FIT]
    assert magnet(*fit, "--out", tmp_path / "plain").returncode == 0
    lost = Killing(both, (tmp_path / "out.checkpoint").exists)
    done = magnet(*fit, "--out", tmp_path / "out", "--ray", both.address, meanwhile=lost)
    assert done.returncode == 0, done.stderr
    assert lost.done
    assert "going on from" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "out",
        "plain",
        "planted",
    ]
    plain, ours = (read_artifact(tmp_path / name).manifest for name in ("plain", "out"))
    assert len(ours.training.history) == len(plain.training.history)
    for one, two in zip(plain.training.history, ours.training.history, strict=True):
        assert two.loss == pytest.approx(one.loss, rel=0.01)
    for name in ("test/recall@20", "test/ndcg@20"):
        assert ours.metrics[name] == pytest.approx(plain.metrics[name], abs=0.01)


def test_what_a_person_can_put_right_ends_a_training_at_once(
    nodes: TwoNodes, magnet: Magnet, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = magnet("fit", "--data", tmp_path, "--out", out, "--ray", nodes.address)
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1
    assert str(tmp_path) in done.stderr
    assert not list(tmp_path.glob("out*"))


def test_a_comparison_and_a_measurement(
    nodes: TwoNodes, magnet: Magnet, tiny_data: Path, tmp_path: Path
) -> None:
    small = ["--set", "embedding_dim=8", "--set", "max_epochs=3", "--set", "batch_size=64"]
    models = ["--models", "popularity", "item_knn", "magnet", "--seeds", "2"]
    benchmark = ["benchmark", "--data", tiny_data, *models, *small]
    plain, ours = tmp_path / "plain.json", tmp_path / "ours.json"
    assert magnet(*benchmark, "--json", plain).returncode == 0
    done = magnet(*benchmark, "--json", ours, "--ray", nodes.address)
    assert done.returncode == 0, done.stderr
    assert "magnet, seed 1, epoch 3" in done.stderr
    one, two = (json.loads(path.read_text()) for path in (plain, ours))
    assert one.keys() == two.keys()
    for name in ("popularity", "item_knn", "magnet"):
        for metric, spread in one[name]["test"].items():
            assert two[name]["test"][metric] == pytest.approx(spread, rel=1e-5)

    artifact = tmp_path / "artifact"
    unseen = ["--set", "held_out=unseen", "--embedding-dim", "8", "--max-epochs", "3"]
    assert magnet("fit", "--data", tiny_data, "--out", artifact, *unseen).returncode == 0
    evaluate = ["evaluate", artifact, "--data", tiny_data, "--json"]
    here, there = magnet(*evaluate), magnet(*evaluate, "--ray", nodes.address)
    assert there.returncode == 0, there.stderr
    assert json.loads(here.stdout) == json.loads(there.stdout)


def test_a_retraining(
    nodes: TwoNodes, magnet: Magnet, tiny_data: Path, redis_url: str, tmp_path: Path
) -> None:
    config = tmp_path / "retrain.toml"
    config.write_text(
        f'state = "{tmp_path / "state"}"\nredis_url = "{redis_url}"\n'
        f'[data]\nfolder = "{tiny_data}"\n'
        "[training]\nmax_epochs = 3\nembedding_dim = 8\nbatch_size = 64\n"
        "[gate]\nmin_users = 5\n"
    )
    done = magnet("retrain", "--config", config, "--json", "--ray", nodes.address)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["result"] == "promoted"
    assert len(record["history"]) == 3
    assert "training from scratch" in done.stderr
