"""Pictures of a data folder: those of items are shown, and nothing else that lies there."""

from pathlib import Path

import pytest

from model.artifact.files import Artifact, write_artifact
from service.http.pages import PictureFolder
from service.ops.settings import Settings

PICTURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "my data"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "i042.PNG").write_bytes(PICTURE)
    (folder / "images" / "tea%2F3 new.png").write_bytes(PICTURE)
    (folder / "covers").mkdir()
    (folder / "covers" / "wool.jpg").write_bytes(PICTURE)
    (folder / "items.tsv").write_text("item_id\n")
    (tmp_path / "secret.png").write_bytes(PICTURE)
    return folder


@pytest.fixture
def client(artifact: Artifact, tmp_path: Path, data: Path, serving, until):
    (tmp_path / "artifact").mkdir()
    write_artifact(tmp_path / "artifact", artifact)
    settings = Settings(artifact_dir=tmp_path / "artifact", pictures_dir=data)
    with serving(settings) as service:
        until(service.ready)
        yield service


def test_an_item_names_its_picture_and_the_picture_is_there(client) -> None:
    (item, other) = client.post("/v1/items:lookup", json={"item_ids": ["i042", "i041"]}).json()[
        "items"
    ]
    assert other["picture_url"] is None
    assert item["picture_url"] == "/pictures/images/i042.PNG"
    answer = client.get(item["picture_url"])
    assert answer.content == PICTURE
    assert answer.headers["content-type"] == "image/png"
    assert "max-age" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "path",
    ["items.tsv", "../secret.png", "%2e%2e/secret.png", "images/none.png", "images", "", ".a.png"],
)
def test_nothing_else_is_shown(client, path: str) -> None:
    answer = client.get(f"/pictures/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_without_a_folder_there_is_none(disk_client) -> None:
    (item,) = disk_client.post("/v1/items:lookup", json={"item_ids": ["i042"]}).json()["items"]
    assert item["picture_url"] is None
    assert disk_client.get("/pictures/images/i042.PNG").status_code == 404


def test_an_address_is_that_of_the_file(data: Path, client) -> None:
    pictures = PictureFolder(data)
    address = pictures.address("tea/3 new", None)
    assert address is not None
    assert client.get(address).content == PICTURE
    assert pictures.address("x", "covers/wool.jpg") == "/pictures/covers/wool.jpg"
    assert pictures.address("i042", "https://a.example/1.jpg") == "https://a.example/1.jpg"
    assert pictures.address("i042", "//a.example/1.jpg") == "https://a.example/1.jpg"
    for outside in (
        "../secret.png",
        2000 * "x" + ".png",
        str(data.parent / "secret.png"),
        "items.tsv",
        "covers/no.jpg",
    ):
        assert pictures.address("x", outside) is None


def test_pictures_come_and_go(data: Path) -> None:
    pictures = PictureFolder(data)
    assert pictures.address("new", None) is None
    (data / "images" / "new.webp").write_bytes(PICTURE)
    assert pictures.address("new", None) == "/pictures/images/new.webp"
    (data / "images" / "new.webp").unlink()
    assert pictures.address("new", None) is None


NO_ADDRESSES = [
    "javascript:alert(1)",
    "JavaScript://a.example/%0aalert(1)",
    "data:image/svg+xml;base64,PHN2Zz4=",
    "file:///etc/passwd",
    "ftp://a.example/1.jpg",
    "vbscript:x",
    "java\nscript:alert(1)",
    " javascript:alert(1)",
    "http:/a.example",
    "https://",
    "//",
    "\\\\a.example\\1.jpg",
]


@pytest.mark.parametrize("named", NO_ADDRESSES)
def test_nothing_else_is_an_address(named: str, data: Path) -> None:
    """Whatever a catalogue says, a page is given only what browsers load by http or https."""
    assert PictureFolder(None).address("x", named) is None
    assert PictureFolder(data).address("x", named) is None
