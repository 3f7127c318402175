"""What a data folder has for encoders."""

from pathlib import Path

import pytest

from deploy.local.pipeline import without_features


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "shop.inter").write_text("user_id\titem_id\nu1\ti1\n")
    return tmp_path


def table(data: Path, text: str, name: str = "items.tsv") -> None:
    (data / name).write_text(text)


def test_no_table_no_contents(data: Path) -> None:
    assert without_features(data) == []


@pytest.mark.parametrize(
    ("name", "head"),
    [("items.tsv", "item_id\ttitle\tdescription"), ("x.item", "item_id:token\tplot:token_seq")],
)
def test_descriptions(data: Path, name: str, head: str) -> None:
    table(data, f"{head}\ni1\tTea\tGreen tea.\n", name)
    assert without_features(data) == ["text"]
    (data / "text_feat.npy").touch()
    assert without_features(data) == []


def test_titles_alone_are_no_texts(data: Path) -> None:
    table(data, "item_id\ttitle\tcategories\ni1\tTea\tDrinks\n")
    assert without_features(data) == []


def test_pictures_in_their_folder(data: Path) -> None:
    table(data, "item_id\ttitle\ni1\tTea\n")
    (data / "images").mkdir()
    (data / "images" / "notes.txt").touch()
    assert without_features(data) == []
    (data / "images" / "i1.JPG").touch()
    assert without_features(data) == ["images"]
    (data / "visual_feat.npy").touch()
    assert without_features(data) == []


def test_pictures_that_the_table_names(data: Path) -> None:
    table(data, "item_id\tposter\ti\ni0\ni1\thttps://shop.example/i1.jpg\ni2\tphotos/i2.jpg\n")
    assert without_features(data) == []
    (data / "photos").mkdir()
    (data / "photos" / "i2.jpg").touch()
    assert without_features(data) == ["images"]
