"""Files that are not what their names say: a line that names them, and nothing from elsewhere."""

import base64
import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.cli.app import main
from training.data.features import read_feature_file
from training.data.tables import DataError
from training.encode.contents import Picture, pictures


def test_pictures_that_are_no_files_below_the_table(
    tmp_path: Path, imported, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret.txt").write_text("key")
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "x.csv").write_text("user,item\nu,a\nu,b\nu,c\n")
    stored = "data:image/png;base64," + "QUJD" * 2000
    rows = f'a,../secret.txt\nb,{"Zm9v" * 2000}\nc,"{stored}"\n'
    (shop / "items.csv").write_text(f"item,image\n{rows}")
    assert main(["import", str(shop), "--out", str(tmp_path / "out")]) == 0
    assert "3 name a picture that is not there: ../secret.txt, Zm9v" in capsys.readouterr().out
    assert not (tmp_path / "out" / "images").exists()


@pytest.mark.parametrize("before", ["data:image/png;base64,", ""])
def test_pictures_in_the_table_itself_are_read(
    before: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = io.BytesIO()
    Image.new("RGB", (2, 3), (9, 8, 7)).save(content, "PNG")
    text = before + base64.b64encode(content.getvalue()).decode()
    (tmp_path / "x.csv").write_text("user,item\nu,a/1\nu,b\n")
    (tmp_path / "items.csv").write_text(f'item,title,image\na/1,Tea,"{text}"\nb,Cup,\n')
    files = [str(tmp_path / "x.csv"), str(tmp_path / "items.csv")]
    assert main(["import", *files, "--out", str(tmp_path / "out")]) == 0
    assert "1 have a picture" in capsys.readouterr().out
    with Image.open(tmp_path / "out" / "images" / "a%2F1.png") as picture:
        assert picture.size == (2, 3)


def test_a_data_folder_names_no_file_outside(tmp_path: Path) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "outside.png")
    (tmp_path / "data").mkdir()
    named = ["../outside.png", str(tmp_path / "outside.png"), "x" * 5000, "a\0b"]
    metadata = [{"picture_url": name} for name in named]
    assert pictures(tmp_path / "data", list("abcd"), metadata) == [None] * 4


def test_deep_grey_is_scaled(tmp_path: Path) -> None:
    grey = np.linspace(0, 65_535, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    read = np.asarray(Picture(tmp_path / "deep.png").open())[..., 0]
    np.testing.assert_allclose(read, grey / 257, atol=0.51)


@pytest.mark.parametrize("kind", ["archive", "number"])
def test_a_feature_file_that_is_no_table(kind: str, tmp_path: Path, imported) -> None:
    content = io.BytesIO()
    if kind == "archive":
        np.savez(content, x=np.ones((2, 2)))
    else:
        np.save(content, np.float32(3.0))
    path = tmp_path / "sound_feat.npy"
    path.write_bytes(content.getvalue())
    with pytest.raises(DataError, match=r"sound_feat.npy: is (an archive|float32\[\])"):
        read_feature_file(path, np.arange(2), 2)
    (tmp_path / "x.csv").write_text("user,item\nu,a\nu,b\n")
    (tmp_path / "items.csv").write_text("item,title\na,A\nb,B\n")
    with pytest.raises(DataError, match=r"sound_feat.npy: is (an archive|float32\[\])"):
        imported("x.csv", "items.csv", "sound_feat.npy", items={"title": "title"})
    assert not (tmp_path / "out").exists()


def test_an_archive_with_a_wrong_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(3)
    rows = "".join(f"u{a},i{b}\n" for a, b in rng.integers(999, size=(3000, 2)))
    packed = bytearray(gzip.compress(f"user,item\n{rows}".encode()))
    packed[len(packed) // 2 : len(packed) // 2 + 40] = b"\xff" * 40
    (tmp_path / "x.csv.gz").write_bytes(packed)
    assert main(["import", str(tmp_path / "x.csv.gz"), "--out", str(tmp_path / "out")]) == 1
    assert "x.csv.gz: is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["import", "fit"])
def test_a_folder_without_a_name(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "x.csv").write_text("user,item\nu,i\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    words = {"import": ["../x.csv"], "fit": ["--data", ".."]}[command]
    assert main([command, *words, "--out", "."]) == 1
    assert "is no name for a folder that is made; name a new one" in capsys.readouterr().err


def test_a_folder_without_a_name_is_refused_before_anything_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog
) -> None:
    (tmp_path / "x.csv").write_text("user,item\nu,a\nv,a\n")
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    assert main(["import", "../x.csv", "--out", "."]) == 1
    assert "is no name for a folder that is made" in capsys.readouterr().err
    assert "guessed" not in caplog.text
