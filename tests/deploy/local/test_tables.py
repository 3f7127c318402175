"""Folders of tables that the launcher imports by itself."""

import shlex
from pathlib import Path

import pytest

from deploy.local.pipeline import StepFailed
from deploy.local.tables import data_folder
from deploy.local.workspace import Workspace
from tests.shipped_films import PEOPLE


def test_tables_are_imported_once_and_again_when_they_have_changed(
    shipped: Path, tmp_path: Path, capfd
) -> None:
    workspace, said = Workspace(tmp_path / "state"), []
    data = data_folder(shipped, workspace, said.append)
    assert data.name == shipped.name
    first = (data / f"{data.name}.inter").read_text()
    assert len(first.splitlines()) == 1 + 12 * PEOPLE
    assert sorted(path.name for path in (data / "images").iterdir()) == ["1.gif", "2.gif"]
    assert "Film 3, The (1963)" in (data / "items.tsv").read_text()
    told = capfd.readouterr().out
    assert f"wrote {data} in " in told
    assert "next:" not in told  # the launcher goes on by itself
    (data / "mark").touch()
    assert data_folder(shipped, workspace, said.append) == data
    assert (data / "mark").exists()
    assert [line.split()[0] for line in said] == ["importing", "using"]
    with (shipped / "ratings.csv").open("a") as file:
        file.write("99,40,5.0,964982703\n")
    assert data_folder(shipped, workspace, said.append) == data
    assert len((data / f"{data.name}.inter").read_text().splitlines()) == 2 + 12 * PEOPLE


def test_a_data_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.inter").touch()
    workspace = Workspace(tmp_path / "state")
    assert data_folder(tmp_path, workspace, lambda _: pytest.fail("said something")) == tmp_path
    assert not workspace.root.exists()


def test_what_cannot_be_imported_leaves_nothing(shipped: Path, tmp_path: Path, capfd) -> None:
    (shipped / "ratings.csv").write_text("colour,size\nred,3\n")
    (shipped / "tags.csv").unlink()
    with pytest.raises(StepFailed, match=r"the import failed \(exit status 2\), see above"):
        data_folder(shipped, Workspace(tmp_path / "state"), print)
    told = capfd.readouterr()
    assert "ratings.csv" in told.out
    given = shlex.quote(str(shipped))
    for line in (
        f"keep the mapping: magnet import {given} > my.toml",
        f"magnet import {given} --mapping my.toml --out NAME",
        "then: magnet run --data NAME",
    ):
        assert line in told.err
    assert not [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
