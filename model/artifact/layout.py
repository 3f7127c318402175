"""How an array lies in Redis: C-order little-endian rows, cut into chunks of whole rows.

A row is found by arithmetic (`RowLayout.locate`), so a request reads one user with GETRANGE and
never fetches a whole chunk.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 262_144 - 256
"""Most bytes in a chunk, just under 256 KiB: the server's allocator rounds sizes up to classes,
and a value of exactly 2^k bytes plus its header falls into the next, 25 % larger (measured)."""


def little_endian(array: NDArray[Any]) -> NDArray[Any]:
    """`array` as C-contiguous and little-endian, the only byte order that travels."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Placement of `num_rows` rows of `row_bytes` bytes each in chunks of at most `CHUNK_BYTES`."""

    num_rows: int
    row_bytes: int
    chunk_bytes: int = CHUNK_BYTES

    @classmethod
    def of(cls, shape: tuple[int, ...], dtype: str, chunk_bytes: int = CHUNK_BYTES) -> "RowLayout":
        """The layout of an array of this shape and dtype (first axis = rows)."""
        row_bytes = np.dtype(dtype).itemsize * math.prod(shape[1:])
        return cls(num_rows=shape[0], row_bytes=row_bytes, chunk_bytes=chunk_bytes)

    @property
    def rows_per_chunk(self) -> int:
        """Whole rows in a chunk; a row larger than a chunk has a chunk to itself."""
        return max(1, self.chunk_bytes // max(1, self.row_bytes))

    @property
    def num_chunks(self) -> int:
        """Chunks that hold all rows; an array without bytes has none."""
        if self.row_bytes == 0:
            return 0
        return -(-self.num_rows // self.rows_per_chunk)

    def locate(self, row: int) -> tuple[int, int, int]:
        """Chunk index, first byte and last byte (inclusive, as GETRANGE wants) of `row`."""
        assert 0 <= row < self.num_rows, (row, self.num_rows)
        chunk, place = divmod(row, self.rows_per_chunk)
        return chunk, place * self.row_bytes, (place + 1) * self.row_bytes - 1

    def spans(self) -> Iterator[tuple[int, int]]:
        """Byte offsets [start, stop) of each chunk within the whole array, in order."""
        step = self.rows_per_chunk * self.row_bytes
        total = self.num_rows * self.row_bytes
        for index in range(self.num_chunks):
            yield index * step, min((index + 1) * step, total)


def sha256(data: bytes | NDArray[Any]) -> str:
    """Hex SHA-256 of some bytes, or of an array's bytes in C order."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha256(np.ascontiguousarray(data).reshape(-1).view(np.uint8).data).hexdigest()
