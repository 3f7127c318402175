"""Tensors and files as chunks in Redis: written, read back, checked, removed, some MiB at a time.

Writing and reading yield after each batch, so that the caller can report and keep its lock alive.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from model.artifact.files import Artifact
from model.artifact.layout import little_endian
from model.artifact.manifest import ArtifactManifest, FileSpec, TensorSpec
from model.artifact.stored import batches, chunks
from model.registry.keys import KeySpace
from training.publish.connection import Client, DamagedCopyError

_BATCH_KEYS = 500
"""Keys that are removed, or whose lengths are asked for, at once."""


def num_bytes(keys: KeySpace, manifest: ArtifactManifest) -> int:
    """Bytes of all tensors and files."""
    return sum(chunk.stop - chunk.start for chunk in chunks(keys, manifest))


def write_blobs(client: Client, keys: KeySpace, artifact: Artifact) -> Iterator[int]:
    """Write every chunk of every blob; yields the bytes of each batch once they are stored."""
    manifest = artifact.manifest
    for name in (*manifest.tensors, *manifest.files):
        data = _bytes_of(artifact, name)
        for batch in batches(chunks(keys, manifest, [name])):
            with client.pipeline(transaction=False) as pipe:
                for chunk in batch:
                    pipe.set(chunk.key, data[chunk.start : chunk.stop].data)
                pipe.execute()
            yield batch[-1].stop - batch[0].start


def verify_blobs(client: Client, keys: KeySpace, manifest: ArtifactManifest) -> Iterator[int]:
    """Read every blob back against the manifest's checksums; yields the bytes of each batch.

    Raises:
        DamagedCopyError: a chunk is missing or a checksum differs.
    """
    specs: dict[str, TensorSpec | FileSpec] = {**manifest.tensors, **manifest.files}
    for name, spec in specs.items():
        digest = hashlib.sha256()
        for batch in batches(chunks(keys, manifest, [name])):
            with client.pipeline(transaction=False) as pipe:
                for chunk in batch:
                    pipe.get(chunk.key)
                for part in pipe.execute():
                    digest.update(part or b"")
            yield batch[-1].stop - batch[0].start
        if digest.hexdigest() != spec.sha256:
            raise DamagedCopyError(
                f"{name!r} of version {manifest.model_version} does not read back as it was "
                "written; see whether the server evicts keys (maxmemory-policy should be "
                "noeviction), then publish again"
            )


def check_present(client: Client, keys: KeySpace, manifest: ArtifactManifest) -> None:
    """Raise ArtifactError unless every chunk is there at full length."""
    found = chunks(keys, manifest)
    while batch := list(islice(found, _BATCH_KEYS)):
        with client.pipeline(transaction=False) as pipe:
            for chunk in batch:
                pipe.strlen(chunk.key)
            for chunk, length in zip(batch, pipe.execute(), strict=True):
                chunk.check_length(length)


def remove_blobs(client: Client, keys: KeySpace, manifest: ArtifactManifest) -> None:
    """UNLINK the manifest, then every chunk of one version."""
    names = [keys.manifest(manifest.model_version)]
    unlink(client, names + [chunk.key for chunk in chunks(keys, manifest)])


def unlink(client: Client, names: Iterable[str]) -> None:
    """UNLINK keys some hundred at a time; the server frees their memory in the background."""
    left = iter(names)
    while batch := list(islice(left, _BATCH_KEYS)):
        client.unlink(*batch)


def _bytes_of(artifact: Artifact, name: str) -> NDArray[np.uint8]:
    if name in artifact.files:
        return np.frombuffer(artifact.files[name], np.uint8)
    return little_endian(artifact.tensors[name]).reshape(-1).view(np.uint8)
