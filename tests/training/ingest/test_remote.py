"""Files elsewhere are copied first, and the copies go; a store in memory stands for others."""

import sys
from pathlib import Path

import fsspec
import pytest

from training.data.tables import DataError
from training.ingest.command import ImportOptions, import_files

ROWS = "user,item\na,1\na,2\nb,1\n"


@pytest.fixture
def store():
    """A store with two files in a folder."""
    found = fsspec.filesystem("memory")
    for day in (1, 2):
        found.pipe(f"/shop/day={day}/part.csv", ROWS.replace("a", f"a{day}").encode())
    yield found
    found.rm("/shop", recursive=True)


@pytest.mark.usefixtures("store")
def test_a_folder_elsewhere_is_imported(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    options = ImportOptions(files=[Path("memory://shop")], out=Path("out"))
    assert import_files(options) == 0
    assert (tmp_path / "out" / "out.inter").read_text().splitlines()[1] == "a1\t1"
    assert "6 rows read" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.usefixtures("store")
def test_one_file_elsewhere_is_looked_at(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert import_files(ImportOptions(files=[Path("memory://shop/day=1/part.csv")])) == 0
    assert 'files = ["part.csv"]' in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "said"),
    [("memory://nothing", "is not there"), ("nowhere://shop", "Protocol not known")],
)
def test_what_cannot_be_fetched_is_told(address: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        import_files(ImportOptions(files=[Path(address)], out=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_is_not_installed_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DataError, match="s3fs`, and gs:// gcsfs"):
        import_files(ImportOptions(files=[Path("s3://shop/events")], out=tmp_path / "out"))
