"""The command from options to a data folder that training reads; default encoders."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.cli.app import main
from training.data.dataset import DataConfig, load_dataset


@pytest.fixture
def shop(tiny_data: Path, tmp_path: Path) -> Path:
    """Texts for all but one of 40 items; two pictures, one of them torn."""
    folder = tmp_path / "shop"
    (folder / "images").mkdir(parents=True)
    shutil.copy(tiny_data / "tiny.inter", folder)
    lines = (tiny_data / "items.tsv").read_text().splitlines()
    (folder / "items.tsv").write_text("\n".join([*lines[:-1], "i039\t\t"]) + "\n")
    Image.new("RGB", (30, 20), "green").save(folder / "images" / "i000.png")
    (folder / "images" / "i001.png").write_bytes(b"torn")
    return folder


@pytest.mark.slow
def test_a_folder_becomes_one_with_features(
    shop: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, files = tmp_path / "out", sorted(shop.rglob("*"))
    assert main(["encode", "--data", str(shop), "--out", str(out)]) == 0
    assert sorted(shop.rglob("*")) == files
    features = load_dataset(DataConfig(folder=out)).features
    assert {name: x.x_IF.shape for name, x in features.items()} == {
        "text": (40, 384),
        "visual": (40, 1280),
    }
    assert np.flatnonzero(~features["text"].present_I).tolist() == [39]
    assert np.flatnonzero(features["visual"].present_I).tolist() == [0]
    assert "39 items have content (39 newly encoded), 1 have none" in caplog.text
    assert "i001.png" in caplog.text

    before = (out / "text_feat.npy").read_bytes()
    items = (shop / "items.tsv").read_text().replace("Title 7\t", "Another title\t")
    (shop / "items.tsv").write_text(items)
    caplog.clear()
    assert main(["encode", "--data", str(shop), "--out", str(out), "--text"]) == 0
    assert "39 items have content (1 newly encoded)" in caplog.text
    assert (out / "text_feat.npy").read_bytes() != before
    assert "Another title" in (out / "items.tsv").read_text()

    caplog.clear()
    assert main(["encode", "--data", str(shop), "--out", str(out), "--text", "--pca", "8"]) == 0
    assert "39 items have content (0 newly encoded), 1 have none" in caplog.text
    assert load_dataset(DataConfig(folder=out)).features["text"].x_IF.shape == (40, 8)


@pytest.mark.parametrize("size", ["0", "-1", "many"])
def test_a_batch_size_is_a_positive_number(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", "--data", ".", "--batch-size", size]) == 2
    said = capsys.readouterr().err
    assert "'--batch-size'" in said
    assert size in said


@pytest.mark.parametrize(
    ("option", "remedy"), [("--text", "--images alone"), ("--images", "--text alone")]
)
def test_nothing_to_encode_says_what_to_add(
    option: str, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "items.tsv").write_text("item_id\tprice\na\t1\n")
    assert main(["encode", "--data", str(tmp_path), option]) == 1
    assert remedy in capsys.readouterr().err


def test_a_folder_without_items_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encode", "--data", str(tmp_path)]) == 1
    assert "has no items.tsv" in capsys.readouterr().err


def test_features_made_by_hand_are_safe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "items.tsv").write_text("item_id\ttitle\na\tTea\n")
    np.save(tmp_path / "text_feat.npy", np.ones((1, 3)))
    assert main(["encode", "--data", str(tmp_path), "--text"]) == 1
    assert "move it away" in capsys.readouterr().err
    assert np.load(tmp_path / "text_feat.npy").shape == (1, 3)


def test_what_there_is_is_encoded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "items.tsv").write_text("item_id\ttitle\na\tTea\nb\tCup\n")
    assert main(["encode", "--data", str(tmp_path)]) == 0
    assert np.load(tmp_path / "text_feat.npy").shape == (2, 384)
    assert not (tmp_path / "visual_feat.npy").exists()
    assert "left out:" in caplog.text
    assert "has no picture of any item" in caplog.text


def test_nothing_at_all_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "items.tsv").write_text("item_id\tprice\na\t1\n")
    assert main(["encode", "--data", str(tmp_path)]) == 1
    assert "has neither words about items nor pictures of them" in capsys.readouterr().err
