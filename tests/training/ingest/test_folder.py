"""The folder that is written: whole or absent, never somebody else's."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from deploy.cli.app import main
from training.data.items import read_items
from training.data.tables import DataError
from training.encode.contents import pictures


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "photos").mkdir(parents=True)
    (folder / "x.csv").write_text("user,item\nu,a/1\nu,b\n")
    Image.new("RGB", (3, 2), "green").save(folder / "photos" / "tea.PNG")
    (folder / "items.csv").write_text(
        "item,title,picture\na/1,Tea,photos/tea.PNG\nb,Wool,https://shop.example/b.jpg\n"
        "c,Cup,photos/lost.png\n"
    )
    return folder


def test_pictures_are_found_under_their_items_ids(
    shop: Path, tmp_path: Path, imported, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(shop), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "1 have a picture" in said
    assert "1 name a picture that is not there: photos/lost.png" in said
    table = read_items(tmp_path / "out")
    assert table is not None
    assert table.metadata[1]["picture_url"] == "https://shop.example/b.jpg"
    (found, *others) = pictures(tmp_path / "out", table.ids, table.metadata)
    assert found is not None
    assert found.open().size == (3, 2)
    assert others == [None, None]


def test_a_report_that_cannot_be_written(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = ["--report", str(tmp_path / "nowhere" / "page.html")]
    assert main(["import", str(shop), "--out", str(tmp_path / "out"), *report]) == 1
    assert "page.html: cannot be written" in capsys.readouterr().err
    assert (tmp_path / "out" / "out.inter").exists()


def test_a_folder_of_pictures_named_after_ids(shop: Path, tmp_path: Path) -> None:
    (shop / "photos").rename(shop / "images")
    (shop / "images" / "tea.PNG").rename(shop / "images" / "b.PNG")
    (shop / "items.csv").write_text("item,title\na/1,Tea\nb,Wool\n")
    assert main(["import", str(shop), "--out", str(tmp_path / "out")]) == 0
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == ["b.png"]


def test_nothing_is_replaced_unasked(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ["import", str(shop), "--out", str(tmp_path / "out")]
    assert main(again) == 0
    (tmp_path / "out" / ".encoded.sqlite").write_text("vectors")
    assert main(again) == 1
    assert "is there already; replace it with --force" in capsys.readouterr().err
    (shop / "x.csv").write_text("user,item\nu,a/1\n")
    assert main([*again, "--force"]) == 0
    assert (tmp_path / "out" / "out.inter").read_text() == "user_id\titem_id\nu\ta/1\n"
    assert (tmp_path / "out" / ".encoded.sqlite").read_text() == "vectors"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "shop"]


def test_somebody_elses_folder_is_left_alone(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(shop), "--out", str(shop), "--force"]) == 1
    assert "was not made by this command" in capsys.readouterr().err
    assert (shop / "x.csv").exists()


def test_killed_at_any_step_it_leaves_the_old_folder_or_the_new_one(
    shop: Path, tmp_path: Path, killed_before: Callable[[int, list[str]], tuple[int, list[str]]]
) -> None:
    again = ["import", str(shop), "--out", str(tmp_path / "out"), "--force"]
    assert main(again) == 0
    old = (tmp_path / "out" / "out.inter").read_text()
    (shop / "x.csv").write_text("user,item\nu,b\n")
    new = "user_id\titem_id\nu\tb\n"
    _, steps = killed_before(10_000, ["import", str(shop), "--out", str(tmp_path / "other")])
    assert steps.count("rename") == 1
    left = set()
    for step in range(1, len(steps) + 3):
        status, _ = killed_before(step, again)
        assert status in (0, -signal.SIGKILL)
        partial = [x for x in (tmp_path / "out", tmp_path / ".out.replaced") if x.exists()]
        left.add((partial[0] / "out.inter").read_text())
    assert left == {old, new}
    assert main(again) == 0
    assert (tmp_path / "out" / "out.inter").read_text() == new
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out", "shop"]


def test_a_file_that_the_mapping_does_not_know(tmp_path: Path, imported) -> None:
    (tmp_path / "x.csv").write_text("user,item\nu,i\n")
    (tmp_path / "y.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r'ignore = \["y.csv"\]'):
        imported("x.csv", "y.csv")
