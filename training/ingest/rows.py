"""Rows of interactions while they are imported: in memory, or on disk once there are many.

On disk they are a grid of files. A *stretch* holds `MOST_ROWS` rows in the order of the given
files, and each stretch is cut into `PARTS` by user. All stretches of a part make a table of some
users, and all parts of a stretch make a stretch of the files. Memory holds one of them at a time.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from training.data.tables import writing
from training.ingest.rejects import LINE

USER, ITEM, VALUE, TIME, LABEL, FILE = "user", "item", "value", "time", "label", "file"
"""Columns; value, time (seconds since 1970) and label only if the mapping names them."""
MOST_ROWS = 2**21
"""Kept in memory; 0.2 GB with short ids, and a few times as much while they are sorted."""
PARTS = 64
_PART = "\0part"
_PLACE = pl.col(FILE).cast(pl.UInt64) * 2**32 + pl.col(LINE)


class Rows:
    """Interactions, each with the user, the file and the line."""

    def __init__(self, folder: Path) -> None:
        """No rows yet; `folder` is made if it is needed."""
        self._folder = folder
        self._frames: list[pl.DataFrame] = []
        self._waiting = 0
        self._starts: list[int] = []
        """The place of the first row of each stretch on disk."""
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, frame: pl.DataFrame) -> None:
        """Add the next rows in the order of the files."""
        self._frames.append(frame)
        self._waiting += len(frame)
        self._length += len(frame)
        if self._waiting > MOST_ROWS:
            self._write_stretch()

    def by_user(self) -> Iterator[pl.DataFrame]:
        """All rows, each user's in one table."""
        self._settle()
        if not self._starts:
            yield from self._frames
            return
        for part in range(PARTS):
            yield self._read([self._path(at, part) for at in range(len(self._starts))])

    def in_order(self) -> Iterator[pl.DataFrame]:
        """All rows by file and line."""
        self._settle()
        if not self._starts:
            yield from self._frames
            return
        for at in range(len(self._starts)):
            yield self._read([self._path(at, part) for part in range(PARTS)]).sort(FILE, LINE)

    def change(self, changed: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        """Replace the tables of `by_user`; rows may go, and those that stay stay in order."""
        self._settle()
        if not self._starts:
            self._frames = [changed(frame) for frame in self._frames]
            self._length = sum(map(len, self._frames))
            return
        self._length = 0
        for part, frame in enumerate(self.by_user()):
            after = changed(frame)
            self._length += len(after)
            place_N = after.select(_PLACE).to_series().to_numpy()
            bounds = [*np.searchsorted(place_N, self._starts).tolist(), len(after)]
            for at, (start, end) in enumerate(pairwise(bounds)):
                self._write(after[start:end], at, part)

    def _settle(self) -> None:
        """Have all rows in one frame, or all on disk."""
        if self._starts and self._waiting:
            self._write_stretch()
        elif len(self._frames) > 1:
            self._frames = [pl.concat(self._frames)]

    def _write_stretch(self) -> None:
        frame = pl.concat(self._frames)
        self._frames, self._waiting = [], 0
        at = len(self._starts)
        self._starts.append(frame.head(1).select(_PLACE).item())
        parts = frame.with_columns((pl.col(USER).hash() % PARTS).alias(_PART)).partition_by(
            _PART, as_dict=True, include_key=False
        )
        for part in range(PARTS):
            self._write(parts.get((part,), frame.clear()), at, part)

    def _write(self, frame: pl.DataFrame, at: int, part: int) -> None:
        with writing(self._folder, "make room on its disk, or name a folder elsewhere with --out"):
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._path(at, part)
            new = path.with_suffix(".new")
            frame.write_ipc(new, compression="lz4")
            new.replace(path)  # what was read of the old file may still be mapped

    def _path(self, at: int, part: int) -> Path:
        return self._folder / f"{at}-{part}.arrow"

    @staticmethod
    def _read(paths: list[Path]) -> pl.DataFrame:
        return pl.concat(pl.read_ipc(path) for path in paths)
