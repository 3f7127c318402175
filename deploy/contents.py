"""What a data folder holds for encoders that has no features yet.

Knows the heads of item tables and where pictures lie; reads no table to its end, loads no encoder.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from model.contract.pictures import PICTURE_FOLDER, SUFFIXES
from training.content_files import FEATURE_SUFFIX
from training.item_columns import DESCRIPTION_COLUMNS, PICTURE_COLUMNS

Content = Literal["text", "images"]
_FEATURES: dict[Content, str] = {
    "text": f"text{FEATURE_SUFFIX}",
    "images": f"visual{FEATURE_SUFFIX}",
}
_LIBRARIES: dict[Content, str] = {
    "text": "sentence_transformers",
    "images": "efficientnet_lite_pytorch",
}


def without_features(data: Path) -> list[Content]:
    """What `encode` would find in a data folder and has not been encoded.

    Titles alone are no texts: their words say as much as an encoder would.
    """
    found: list[Content] = []
    for table in [*data.glob("items.tsv"), *data.glob("*.item")]:
        columns = _columns(table)
        if columns.keys() & set(DESCRIPTION_COLUMNS):
            found.append("text")
        if _has_pictures(data, table, columns):
            found.append("images")
    return [content for content in found if not (data / _FEATURES[content]).exists()]


def can_encode(content: Content) -> bool:
    """Whether the libraries of the default encoder are installed."""
    return find_spec(_LIBRARIES[content]) is not None


def _columns(table: Path) -> dict[str, int]:
    """Places of the columns by name, RecBole's types taken off."""
    with table.open(encoding="utf-8-sig", errors="replace") as lines:
        names = lines.readline().rstrip("\r\n").split("\t")
    return {name.partition(":")[0]: place for place, name in enumerate(names)}


def _has_pictures(data: Path, table: Path, columns: dict[str, int]) -> bool:
    filed = (data / PICTURE_FOLDER).glob("*")
    if any(path.suffix.lower() in SUFFIXES for path in filed):
        return True
    places = [columns[name] for name in PICTURE_COLUMNS if name in columns]
    return any((data / name).is_file() for name in _values(table, places) if name)


def _values(table: Path, places: list[int]) -> Iterator[str]:
    if not places:
        return
    with table.open(encoding="utf-8-sig", errors="replace") as lines:
        next(lines, None)
        for line in lines:
            fields = line.rstrip("\r\n").split("\t")
            yield from (fields[place] for place in places if place < len(fields))
