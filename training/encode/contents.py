"""The contents of items, as encoders read them: a passage of text, a picture.

Letters: C colour channels, H height, W width.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from model.artifact.files import PICTURE_FOLDER, file_stem, is_web_address, pictures_in
from training.data.items import WORD_FIELDS

_EIGHT_BITS, _SIXTEEN_BITS = 255.0, 65_535.0
T_co = TypeVar("T_co", covariant=True)
_TITLE, *_DESCRIPTIONS = WORD_FIELDS
_BACKGROUND = "white"
"""Behind transparent pictures: cut-out product photographs are made for white pages."""


class UnreadableContentError(ValueError):
    """A content is there but cannot be opened; the message names it and says why."""


class Content(Protocol[T_co]):
    """One content of one item."""

    @property
    def digest(self) -> bytes:
        """SHA-256; equal for equal contents. UnreadableContentError if it cannot be read."""
        ...

    @property
    def size(self) -> int:
        """Contents of similar size are encoded together."""
        ...

    def open(self) -> T_co:
        """What the encoder reads; UnreadableContentError if it cannot be read."""
        ...


@dataclass(frozen=True)
class Passage:
    """The text of one item."""

    text: str

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def size(self) -> int:
        """Characters: passages of similar size make a batch with little padding."""
        return len(self.text)

    def open(self) -> str:
        """The text."""
        return self.text


def passages(metadata: Sequence[Mapping[str, object]]) -> list[Passage | None]:
    """The passage of each item; None for an item without words."""
    return [Passage(text) if (text := _text(fields)) else None for fields in metadata]


def _text(fields: Mapping[str, object]) -> str:
    """Title, year, categories and descriptions as sentences: encoders cut long texts at the end."""
    title, year = str(fields.get(_TITLE, "")), str(fields.get("year", ""))
    if title and year and year not in title:
        title = f"{title} ({year})"
    categories = fields.get("categories", [])
    assert isinstance(categories, list)
    descriptions = [str(fields.get(field, "")) for field in _DESCRIPTIONS]
    parts = [title, ", ".join(categories), *descriptions]
    return " ".join(
        part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part
    )


@dataclass(frozen=True)
class Picture:
    """An image file."""

    path: Path

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the file; UnreadableContentError if it cannot be read."""
        try:
            return hashlib.sha256(self.path.read_bytes()).digest()
        except OSError as error:
            raise UnreadableContentError(f"{self.path} ({error.strerror})") from error

    @property
    def size(self) -> int:
        """Constant, since every picture is resized to the encoder's input."""
        return 1

    def open(self) -> Image.Image:
        """The upright picture in RGB; of an animation, the first frame."""
        try:
            with Image.open(self.path) as image:
                upright = _of_eight_bits(ImageOps.exif_transpose(image))
                if not upright.has_transparency_data:
                    return upright.convert("RGB")
                page = Image.new("RGBA", upright.size, _BACKGROUND)
                return Image.alpha_composite(page, upright.convert("RGBA")).convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UnreadableContentError(f"{self.path} ({error})") from error


def _of_eight_bits(image: Image.Image) -> Image.Image:
    """A picture of deep grey values scaled to eight bits, as `convert` would not; others as is."""
    if image.mode not in {"I", "F"} and not image.mode.startswith("I;"):
        return image
    grey_HW = np.asarray(image, dtype=np.float64)
    most = float(grey_HW.max())
    tops = {"F": [1.0, _EIGHT_BITS], "I": [_EIGHT_BITS]}.get(image.mode, [])
    top = next((each for each in tops if most <= each), max(_SIXTEEN_BITS, most))
    scaled_HW = np.clip(np.nan_to_num(grey_HW) / top, 0, 1) * _EIGHT_BITS
    return Image.fromarray(scaled_HW.round().astype(np.uint8))


def pictures(
    folder: Path, item_ids: Sequence[str], metadata: Sequence[Mapping[str, object]]
) -> list[Picture | None]:
    """The picture of each item; None for an item without one.

    It is the file that the item table's picture column names, relative to the folder, or else
    `images/<item id>.<suffix>`, percent-encoded where an id cannot be a file name. Pictures on the
    web are not fetched.
    """
    filed = pictures_in(folder / PICTURE_FOLDER)
    found: list[Picture | None] = []
    for item_id, fields in zip(item_ids, metadata, strict=True):
        named = str(fields.get("picture_url", ""))
        if (path := _within(folder, named)) is not None:
            found.append(Picture(path))
        else:
            path = filed.get(item_id, filed.get(file_stem(item_id)))
            found.append(None if path is None else Picture(path))
    return found


def _within(folder: Path, name: str) -> Path | None:
    """The file of this name in the data folder or below; None if there is none."""
    if not name or is_web_address(name):
        return None
    path = Path(os.path.normpath(folder / name))
    try:
        return path if path.is_relative_to(os.path.normpath(folder)) and path.is_file() else None
    except (OSError, ValueError):  # too long for a name, or with a zero byte: not a file's name
        return None


Channels = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """The input that one image network expects; mean and std per channel are of values 0 to 1.

    The whole picture is resized, whatever its proportions: a crop at the centre, as for
    classification, would cut off the edges of a poster or a product.
    """

    height: int
    width: int
    mean: Channels
    std: Channels

    def of(self, image: Image.Image) -> NDArray[np.float32]:
        """The normalised pixels of an RGB picture, [C, H, W]."""
        fitted = image.resize((self.width, self.height), Image.Resampling.BICUBIC)
        share_HWC = np.asarray(fitted, dtype=np.float32) / np.float32(255)
        mean_C, std_C = (np.array(row, dtype=np.float32) for row in (self.mean, self.std))
        scaled_HWC = (share_HWC - mean_C) / std_C
        return np.ascontiguousarray(scaled_HWC.transpose(2, 0, 1))
