"""An artifact in Redis: C-order little-endian rows, cut into chunks of whole rows, a key for each.

A row is found by arithmetic (`RowLayout.locate`), so a request reads one user with GETRANGE and
never fetches a whole chunk. A version is whole if its manifest is there and can be read, and every
chunk of every tensor and file is there at full length.
This module says what to ask and judges the replies; the callers ask.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from model.artifact.files import ArtifactError, parse_manifest
from model.artifact.manifest import CHUNK_BYTES, ArtifactManifest
from model.registry.keys import KeySpace

PER_USER = ("user_embeddings", "seen_items")
"""Arrays that the service leaves in Redis; a request reads the rows of one user. An erasure writes
over the user's rows at once; their checksums follow with the next retraining."""
BATCH_BYTES = 4 * 2**20
"""Most bytes of one pipeline, which both sides have to buffer (a larger chunk goes alone)."""


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


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes [start, stop) of one tensor or file, under a key of its own."""

    key: str
    blob: str
    index: int
    start: int
    stop: int

    def check_length(self, length: int) -> None:
        """Raise ArtifactError unless `length` bytes are all of it."""
        if length != self.stop - self.start:
            expected = self.stop - self.start
            state = f"has {length} bytes instead of {expected}" if length else "is missing"
            raise ArtifactError(f"chunk {self.index} of {self.blob!r} {state}; publish it again")


def read_manifest(stored: bytes | str | None, version: str) -> ArtifactManifest:
    """The manifest of a version, out of the value of its key; ArtifactError if not usable."""
    if stored is None:
        raise ArtifactError("its manifest is not in Redis; publish it again")
    manifest = parse_manifest(stored, "its manifest")
    if manifest.model_version != version:
        raise ArtifactError(f"its manifest is that of version {manifest.model_version}")
    return manifest


def layout_of(manifest: ArtifactManifest, blob: str) -> RowLayout:
    """How a tensor, or a file (whose rows are bytes), is cut into chunks."""
    if blob in manifest.tensors:
        spec = manifest.tensors[blob]
        return RowLayout.of(spec.shape, spec.dtype, manifest.chunk_bytes)
    return RowLayout.of((manifest.files[blob].num_bytes,), "|u1", manifest.chunk_bytes)


def chunks(
    keys: KeySpace, manifest: ArtifactManifest, blobs: Collection[str] | None = None
) -> Iterator[Chunk]:
    """Every chunk of some tensors and files, by default of all: a whole version has them all."""
    for blob in (*manifest.tensors, *manifest.files) if blobs is None else blobs:
        for index, (start, stop) in enumerate(layout_of(manifest, blob).spans()):
            yield Chunk(keys.chunk(manifest.model_version, blob, index), blob, index, start, stop)


def batches(found: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Runs of chunks of at most `BATCH_BYTES`, at least one chunk each."""
    batch: list[Chunk] = []
    size = 0
    for chunk in found:
        num_bytes = chunk.stop - chunk.start
        if batch and size + num_bytes > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(chunk)
        size += num_bytes
    if batch:
        yield batch
