"""The picture of each item: where its file lies, and its pixels.

Knows file names and image formats; knows nothing about encoders' input sizes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image, ImageOps

from model.contract.pictures import PICTURE_FOLDER, SUFFIXES, file_stem, is_web_address
from training.encode.content import UnreadableContentError

_BACKGROUND = "white"
"""Behind transparent pictures: cut-out product photographs are made for white pages."""


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
        """The same for all: every picture is brought to the encoder's input size."""
        return 1

    def open(self) -> Image.Image:
        """The upright picture in RGB; of an animation, the first frame."""
        try:
            with Image.open(self.path) as image:
                upright = ImageOps.exif_transpose(image)
                if not upright.has_transparency_data:
                    return upright.convert("RGB")
                page = Image.new("RGBA", upright.size, _BACKGROUND)
                return Image.alpha_composite(page, upright.convert("RGBA")).convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UnreadableContentError(f"{self.path} ({error})") from error


def pictures(
    folder: Path, item_ids: Sequence[str], metadata: Sequence[Mapping[str, object]]
) -> list[Picture | None]:
    """The picture of each item; None for an item without one.

    It is the file that the item table's picture column names, relative to the folder, or else
    `images/<item id>.<suffix>`, percent-encoded where an id can be no file name. Pictures that lie
    elsewhere on the web are not fetched.
    """
    filed = {
        path.stem: path
        for path in sorted((folder / PICTURE_FOLDER).glob("*"))
        if path.suffix.lower() in SUFFIXES
    }
    found: list[Picture | None] = []
    for item_id, fields in zip(item_ids, metadata, strict=True):
        named = str(fields.get("picture_url", ""))
        if named and not is_web_address(named) and (folder / named).is_file():
            found.append(Picture(folder / named))
        else:
            path = filed.get(item_id, filed.get(file_stem(item_id)))
            found.append(None if path is None else Picture(path))
    return found
