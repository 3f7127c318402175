"""The tensors and files of a version in Redis, chunk by chunk: write, verify, read, overwrite."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.files import Artifact
from model.artifact.manifest import ArtifactManifest, FileSpec, TensorSpec, little_endian
from model.artifact.stored import Chunk, batches, chunks, layout_of
from model.registry.keys import KeySpace
from training.publish.connection import Client, DamagedCopyError

BATCH_KEYS = 1000
"""Keys that are listed or removed, or whose lengths are asked for, at once."""


def write_blobs(client: Client, keys: KeySpace, artifact: Artifact) -> Iterator[int]:
    """Write every chunk of every blob; yields the bytes of each batch once they are stored."""
    manifest = artifact.manifest
    for name in (*manifest.tensors, *manifest.files):
        if name in artifact.files:
            data = np.frombuffer(artifact.files[name], np.uint8)
        else:
            data = little_endian(artifact.tensors[name]).reshape(-1).view(np.uint8)
        for batch in batches(chunks(keys, manifest, [name])):
            with client.pipeline(transaction=False) as pipe:
                for chunk in batch:
                    pipe.set(chunk.key, data[chunk.start : chunk.stop].data)
                pipe.execute()
            yield batch[-1].stop - batch[0].start


def verify_blobs(
    client: Client,
    keys: KeySpace,
    manifest: ArtifactManifest,
    blobs: Collection[str] | None = None,
) -> Iterator[int]:
    """Read some blobs, by default all, back against the manifest's checksums.

    Yields the bytes of each batch.

    Raises:
        DamagedCopyError: a chunk is missing or a checksum differs.
    """
    specs: dict[str, TensorSpec | FileSpec] = {**manifest.tensors, **manifest.files}
    for name, spec in specs.items():
        if blobs is not None and name not in blobs:
            continue
        digest = hashlib.sha256()
        for batch in _read(client, keys, manifest, name):
            for _, part in batch:
                digest.update(part)
            yield batch[-1][0].stop - batch[0][0].start
        if digest.hexdigest() != spec.sha256:
            raise DamagedCopyError(
                f"{name!r} of version {manifest.model_version} does not read back as it was "
                "written; see whether the server evicts keys (maxmemory-policy should be "
                "noeviction), then publish again"
            )


def stored_digest(client: Client, keys: KeySpace, manifest: ArtifactManifest, name: str) -> str:
    """The SHA-256 of what is stored of a tensor or file; missing chunks count as empty."""
    digest = hashlib.sha256()
    for batch in _read(client, keys, manifest, name):
        for _, part in batch:
            digest.update(part)
    return digest.hexdigest()


def stored_array(
    client: Client, keys: KeySpace, manifest: ArtifactManifest, name: str
) -> NDArray[Any]:
    """A whole tensor of a stored version; ArtifactError if a part of it is not there."""
    data = bytearray()
    for batch in _read(client, keys, manifest, name):
        for chunk, part in batch:
            chunk.check_length(len(part))
            data += part
    spec = manifest.tensors[name]
    return np.frombuffer(bytes(data), dtype=spec.dtype).reshape(spec.shape)


def _read(
    client: Client, keys: KeySpace, manifest: ArtifactManifest, name: str
) -> Iterator[list[tuple[Chunk, bytes]]]:
    """The chunks of a blob, batch by batch, with what is stored; empty for a missing one."""
    for batch in batches(chunks(keys, manifest, [name])):
        with client.pipeline(transaction=False) as pipe:
            for chunk in batch:
                pipe.get(chunk.key)
            parts = pipe.execute()
        yield [(chunk, part or b"") for chunk, part in zip(batch, parts, strict=True)]


def overwrite(
    client: Client,
    keys: KeySpace,
    manifest: ArtifactManifest,
    name: str,
    spans: Iterable[tuple[int, int]],
    byte: int,
) -> None:
    """Fill spans of the first axis of a stored array; a chunk that is gone stays gone."""
    layout = layout_of(manifest, name)
    for start, stop in spans:
        row = start
        while row < stop:
            chunk, first, _ = layout.locate(row)
            end = min(stop, (chunk + 1) * layout.rows_per_chunk)
            filling = bytes([byte]) * ((end - row) * layout.row_bytes)
            key = keys.chunk(manifest.model_version, name, chunk)
            if client.exists(key):
                client.execute_command("SETRANGE", key, first, filling)  # type: ignore[no-untyped-call]
            row = end


def unlink(client: Client, names: Iterable[str]) -> None:
    """UNLINK keys in batches; the server frees their memory in the background."""
    left = iter(names)
    while batch := list(islice(left, BATCH_KEYS)):
        client.unlink(*batch)
