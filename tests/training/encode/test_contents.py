from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.encode.contents import (
    Picture,
    Pixels,
    UnreadableContentError,
    passages,
    pictures,
)

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)
ORIENTATION_TAG, QUARTER_TURN = 274, 6


def saved(path: Path, colour: tuple[int, ...] = RED, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (6, 4), colour).save(path)
    return path


def paths_of(folder: Path, ids: list[str], fields: list[dict[str, object]] | None = None) -> list:
    found = pictures(folder, ids, fields or [{} for _ in ids])
    return [picture.path.relative_to(folder).as_posix() if picture else None for picture in found]


def test_pictures_are_found_by_item_id_whatever_their_format(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.PNG", "c.1.webp", "d.txt"):
        path = tmp_path / "images" / name
        saved(path) if path.suffix != ".txt" else path.write_text("no picture")
    assert paths_of(tmp_path, ["a", "b", "c.1", "d", "e"]) == [
        "images/a.jpg",
        "images/b.PNG",
        "images/c.1.webp",
        None,
        None,
    ]


def test_a_file_that_the_item_table_names_comes_first(tmp_path: Path) -> None:
    saved(tmp_path / "images" / "a.png")
    saved(tmp_path / "covers" / "tea.png")
    fields: list[dict[str, object]] = [
        {"picture_url": "covers/tea.png"},
        {"picture_url": "https://example.org/a.png"},
        {"picture_url": "data:image/png;base64," + 300 * "A"},
        {"picture_url": "covers/lost.png"},
    ]
    assert paths_of(tmp_path, ["a", "a", "b", "a"], fields) == [
        "covers/tea.png",
        "images/a.png",
        None,
        "images/a.png",
    ]


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", (*RED, 0), "RGBA")
    image = Picture(path).open()
    assert image.mode == "RGB"
    assert image.getpixel((0, 0)) == WHITE


def test_a_turned_photograph_is_set_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), RED)
    image.paste(GREEN, (0, 0, 20, 20))
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = QUARTER_TURN
    image.save(tmp_path / "a.png", exif=exif)
    upright = Picture(tmp_path / "a.png").open()
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5)) == GREEN
    assert upright.getpixel((10, 35)) == RED


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\nbroken"])
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableContentError, match=r"a\.png"):
        Picture(path).open()


def test_half_a_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UnreadableContentError, match=r"a\.jpg"):
        Picture(path).open()


def test_pixels_are_normalised_by_channel() -> None:
    pixels = Pixels(height=3, width=5, mean=(0.5, 0.0, 0.0), std=(0.25, 1.0, 2.0))
    x_3HW = pixels.of(Image.new("RGB", (7, 2), (255, 51, 255)))
    assert x_3HW.shape == (3, 3, 5)
    np.testing.assert_allclose(x_3HW[:, 0, 0], [2.0, 0.2, 0.5], rtol=1e-6)


def test_the_edges_of_a_picture_are_seen() -> None:
    image = Image.new("RGB", (100, 10), "black")
    image.paste(WHITE, (0, 0, 10, 10))
    pixels = Pixels(height=10, width=10, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert pixels.of(image)[0, :, 0].min() > 0.9


def text_of(**fields: object) -> str | None:
    (passage,) = passages([fields])
    return None if passage is None else passage.text


def test_a_passage_says_the_most_telling_first() -> None:
    text = text_of(
        overview="Two friends drink tea.", year=1997, title="Leaves", categories=["Drama", "Tea"]
    )
    assert text == "Leaves (1997). Drama, Tea. Two friends drink tea."


def test_a_year_in_the_title_is_not_repeated() -> None:
    assert text_of(title="Leaves (1997)", year=1997) == "Leaves (1997)."


def test_sentences_keep_their_own_ends() -> None:
    assert text_of(title="Tea?", description="Yes!") == "Tea? Yes!"


def test_an_item_without_words_has_no_passage() -> None:
    assert text_of() is None
    assert text_of(picture_url="images/1.jpg", imdb_id="tt1") is None


def test_equal_texts_have_equal_digests() -> None:
    one, same, other = passages([{"title": "Tea"}, {"title": "Tea"}, {"title": "Wool"}])
    assert one is not None
    assert same is not None
    assert other is not None
    assert one.digest == same.digest
    assert one.digest != other.digest
