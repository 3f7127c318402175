"""Rows that new items were made into, kept in the folder of their model on this machine.

Making 100,000 of them takes minutes for a large catalogue, whose items each is compared with. A
restart, and every other worker of the machine, finds them here.

Letters: X new items.
"""

import hashlib
import logging
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

import numpy as np
import orjson
from numpy.typing import NDArray

from model.registry.items import ItemRecord
from model.runtime.cold_items import ColdItems, EncodedBy
from model.runtime.text_encoder import year_of
from service.ops.process import with_pauses

MADE_ROWS = ("item_embeddings", "item_foldin", "item_routing", "item_bias")
"""Tensors of an artifact that a new item has a row of."""
FILE = "made-items-1.sqlite"
"""The number is raised when rows are made in another way."""
_AT_ONCE = 500
"""Rows that are read or written: some milliseconds."""
_MOST_BYTES = 4 * 2**30
"""Of the file; retraining begins another one."""
_WAIT_SECONDS = 5.0
"""For another process to write."""
_TABLE = """CREATE TABLE IF NOT EXISTS made (
  content INTEGER PRIMARY KEY, by INTEGER NOT NULL, checksum INTEGER NOT NULL, row BLOB NOT NULL)"""
_SELECT = """SELECT content, by, checksum, row FROM made
  WHERE content IN (SELECT value FROM json_each(?))"""
_BY: tuple[EncodedBy, ...] = get_args(EncodedBy)
_logger = logging.getLogger(__name__)


def content_of(record: ItemRecord) -> int:
    """A hash of what an item's row is made of: 64 bits with a sign, the same in every process."""
    features = sorted((name, list(vector)) for name, vector in record.features.items())
    words = [record.title, record.description, year_of(record), *record.categories]
    digest = hashlib.blake2b(orjson.dumps([words, features]), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


class MadeItems:
    """The rows of one model version. A file that fails is removed, and rows are made again."""

    def __init__(self, folder: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Kept in `folder`; rows are as those of `tensors`."""
        self._path = folder / FILE
        parts = [(name, tensors[name].dtype, tensors[name].shape[1:]) for name in MADE_ROWS]
        self._type = np.dtype(parts)

    def completed(
        self, contents: Sequence[int], make: Callable[[Sequence[int]], ColdItems]
    ) -> ColdItems:
        """The rows of items, by their contents; those that are not kept are made, and kept.

        Args:
            contents: as `content_of` says.
            make: makes the items of some places.
        """
        row_X, by_X = np.empty(len(contents), dtype=self._type), np.zeros(len(contents), np.int64)
        found = self._read(contents)
        missing = []
        for place, content in enumerate(contents):
            if content in found:
                by_X[place], data = found[content]
                row_X[place] = np.frombuffer(data, dtype=self._type)[0]
            else:
                missing.append(place)
        if missing:
            made = make(missing)
            for name, rows_X in made.arrays().items():
                row_X[name][missing] = rows_X
            by_X[missing] = [_BY.index(by) for by in made.by]
            self._write(
                (contents[place], int(by_X[place]), row_X[place].tobytes()) for place in missing
            )
        return ColdItems(
            embeddings_XVMD=row_X["item_embeddings"],
            foldin_XVMD=row_X["item_foldin"],
            routing_XJ=row_X["item_routing"],
            bias_X=row_X["item_bias"],
            by=[_BY[number] for number in by_X.tolist()],
        )

    def _read(self, contents: Sequence[int]) -> dict[int, tuple[int, bytes]]:
        """What is kept of some contents: what they were made of, and the row."""
        found: dict[int, tuple[int, bytes]] = {}
        if not self._path.is_file():
            return found
        with self._forgiving(), closing(self._opened()) as file:
            for start in with_pauses(range(0, len(contents), _AT_ONCE)):
                part = orjson.dumps(contents[start : start + _AT_ONCE]).decode()
                for content, by, checksum, data in file.execute(_SELECT, [part]):
                    if len(data) == self._type.itemsize and zlib.crc32(data) == checksum:
                        found[content] = by, data
        return found

    def _write(self, rows: Iterable[tuple[int, int, bytes]]) -> None:
        with self._forgiving(), closing(self._opened()) as file, file:
            if self._path.stat().st_size < _MOST_BYTES:
                checked = ((content, by, zlib.crc32(row), row) for content, by, row in rows)
                file.executemany(
                    "INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?)", with_pauses(checked)
                )

    def _opened(self) -> sqlite3.Connection:
        file = sqlite3.connect(self._path, timeout=_WAIT_SECONDS)
        file.execute("PRAGMA synchronous=OFF")  # what is lost is made again
        file.execute(_TABLE)
        return file

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Remove the file where it fails."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            _logger.warning("%s is not used: %s", self._path, error)
            with suppress(OSError):
                self._path.unlink()
