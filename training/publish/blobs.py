"""Tensors and files as chunks in Redis: written, read back, removed, a few MiB at a time.

Knows keys and layout; knows nothing about locks, pointers or versions. Writing and reading are
generators that yield after each batch, so that the caller can report and keep its lock alive.
"""

import hashlib
from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from model.artifact.files import Artifact
from model.artifact.layout import RowLayout, little_endian
from model.artifact.manifest import ArtifactManifest
from model.registry.keys import KeySpace
from training.publish.connection import Client, DamagedCopyError

BATCH_BYTES = 4 * 2**20
"""Most bytes of one pipeline, bounding what either side must buffer (a larger chunk goes alone)."""
_UNLINK_BATCH = 500


def blob_layouts(manifest: ArtifactManifest) -> Iterator[tuple[str, str, RowLayout]]:
    """Name, SHA-256 and layout of every tensor and file; a file is a row of bytes."""
    for name, tensor in manifest.tensors.items():
        yield name, tensor.sha256, RowLayout.of(tensor.shape, tensor.dtype, manifest.chunk_bytes)
    for name, file in manifest.files.items():
        yield name, file.sha256, RowLayout.of((file.num_bytes,), "|u1", manifest.chunk_bytes)


def num_bytes(manifest: ArtifactManifest) -> int:
    """Bytes of all tensors and files."""
    return sum(layout.num_rows * layout.row_bytes for _, _, layout in blob_layouts(manifest))


def write_blobs(client: Client, keys: KeySpace, artifact: Artifact) -> Iterator[int]:
    """Write every chunk of every blob; yields the bytes of each batch once they are stored."""
    version = artifact.manifest.model_version
    for name, _, layout in blob_layouts(artifact.manifest):
        data = _bytes_of(artifact, name)
        for batch in _batches(layout):
            with client.pipeline(transaction=False) as pipe:
                for index, start, stop in batch:
                    pipe.set(keys.chunk(version, name, index), data[start:stop].data)
                pipe.execute()
            yield sum(stop - start for _, start, stop in batch)


def verify_blobs(client: Client, keys: KeySpace, manifest: ArtifactManifest) -> Iterator[int]:
    """Read every blob back against the manifest's checksums; yields the bytes of each batch.

    Raises:
        DamagedCopyError: a chunk is missing or a checksum differs.
    """
    version = manifest.model_version
    for name, checksum, layout in blob_layouts(manifest):
        digest = hashlib.sha256()
        for batch in _batches(layout):
            with client.pipeline(transaction=False) as pipe:
                for index, _, _ in batch:
                    pipe.get(keys.chunk(version, name, index))
                for chunk in pipe.execute():
                    digest.update(chunk or b"")
            yield sum(stop - start for _, start, stop in batch)
        if digest.hexdigest() != checksum:
            raise DamagedCopyError(
                f"{name!r} of version {version} does not read back as it was written; "
                "see whether the server evicts keys (maxmemory-policy should be noeviction), "
                "then publish again"
            )


def remove_blobs(client: Client, keys: KeySpace, manifest: ArtifactManifest) -> None:
    """UNLINK the manifest, then every chunk of one version."""
    version = manifest.model_version
    chunks = (
        keys.chunk(version, name, index)
        for name, _, layout in blob_layouts(manifest)
        for index in range(layout.num_chunks)
    )
    unlink(client, chain([keys.manifest(version)], chunks))


def unlink(client: Client, names: Iterator[str]) -> None:
    """UNLINK keys some hundred at a time; the server frees their memory in the background."""
    batch: list[str] = []
    for name in names:
        batch.append(name)
        if len(batch) == _UNLINK_BATCH:
            client.unlink(*batch)
            batch.clear()
    if batch:
        client.unlink(*batch)


def _bytes_of(artifact: Artifact, name: str) -> NDArray[np.uint8]:
    if name in artifact.files:
        return np.frombuffer(artifact.files[name], np.uint8)
    return little_endian(artifact.tensors[name]).reshape(-1).view(np.uint8)


def _batches(layout: RowLayout) -> Iterator[list[tuple[int, int, int]]]:
    """Runs of (chunk, start, stop) of at most BATCH_BYTES, at least one chunk each."""
    batch: list[tuple[int, int, int]] = []
    size = 0
    for index, (start, stop) in enumerate(layout.spans()):
        if batch and size + stop - start > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append((index, start, stop))
        size += stop - start
    if batch:
        yield batch
