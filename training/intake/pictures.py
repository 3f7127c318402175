"""Pictures that lie on this machine: brought into the new folder under their items' ids.

Knows file names; knows nothing about what is in a picture. Those on the web stay addresses.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from model.contract.pictures import PICTURE_FOLDER, SUFFIXES, file_stem, is_web_address
from training.intake.catalogue import FILE, ID, PICTURE, PUBLIC
from training.tables import DataError

PICTURE_URL = "picture_url"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Where the items' pictures are."""

    files: dict[str, Path]
    """By public id."""
    urls: pl.Series
    """One per item, empty for an item without."""
    absent: list[str]
    """Files that are named but are not there."""


def find_pictures(
    items: pl.DataFrame, folders: Sequence[Path], picture_folder: str | None
) -> Pictures:
    """By the column of pictures, or else by the item's id in `picture_folder`.

    Args:
        items: as `read_catalogue` makes them.
        folders: of the files that the items are from.
        picture_folder: beside the first of these files.

    Raises:
        DataError: there is no such picture folder.
    """
    filed = {} if picture_folder is None else _filed(folders[0] / picture_folder)
    files: dict[str, Path] = {}
    urls, absent = [], []
    named = items[PICTURE] if PICTURE in items.columns else [""] * len(items)
    for public, item_id, file, name in zip(
        items[PUBLIC], items[ID], items[FILE], named, strict=True
    ):
        web = is_web_address(name)
        urls.append(name if web else "")
        path = folders[file] / name if name and not web else filed.get(item_id)
        if path is not None and path.is_file():
            files[public] = path
        elif path is not None:
            absent.append(name)
    return Pictures(files=files, urls=pl.Series(PICTURE_URL, urls, pl.String), absent=absent)


def bring(pictures: Pictures, folder: Path) -> None:
    """Link the files into `folder`, or copy them where the file system cannot link."""
    if not pictures.files:
        return
    (folder / PICTURE_FOLDER).mkdir()
    for item_id, path in pictures.files.items():
        target = folder / PICTURE_FOLDER / f"{file_stem(item_id)}{path.suffix.lower()}"
        try:
            os.link(path.resolve(), target)
        except OSError:
            shutil.copyfile(path, target)


def _filed(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(folder, "is not a folder", "correct picture_folder in the mapping")
    return {path.stem: path for path in _images(folder)}


def _images(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES)
