"""Takes users out of the versions that are stored in Redis, live or not.

Readers may be at work meanwhile: nobody asks for a user who was erased, and a replica that loads a
version between its bytes and its manifest refuses it, and tries again.
"""

import hashlib
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.erasure import blank, filler, manifest_without, rows_of, spans_of
from model.artifact.files import ArtifactError
from model.artifact.manifest import ArtifactManifest, sha256
from model.artifact.stored import PER_USER, batches, chunks, layout_of, read_manifest
from model.artifact.tables import IdTable
from model.registry.keys import KeySpace
from model.registry.revisions import draw_step
from training.publish.connection import Client
from training.publish.lock import FencedLock
from training.publish.registry import Registry

_TABLES = ("user_ids_blob", "user_ids_offsets", "seen_offsets")


def rewrite_versions(
    client: Client, keys: KeySpace, user_ids: Collection[str], erasures: int, lock: FencedLock
) -> list[str]:
    """Take users out of every stored version; returns the versions that had one of them.

    A version whose manifest cannot be read is left alone: nobody can serve it.
    """
    state = Registry(client, keys).state()
    named = {*state.stored, *(x for x in state.roles.values() if x is not None)}
    rewritten = []
    for version in sorted(named):
        lock.renew()
        try:
            manifest = read_manifest(client.get(keys.manifest(version)), version)
            if _rewrite(client, keys, manifest, user_ids, erasures):
                rewritten.append(version)
        except ArtifactError:
            continue
    client.incrby(keys.rewrites, draw_step())  # also for who has not seen an earlier attempt's
    return rewritten


def _rewrite(
    client: Client,
    keys: KeySpace,
    manifest: ArtifactManifest,
    user_ids: Collection[str],
    erasures: int,
) -> bool:
    """Take users out of one version; whether it had any, or was half done."""
    tensors = {name: stored_array(client, keys, manifest, name) for name in _TABLES}
    offsets = tensors["user_ids_offsets"]
    rows = rows_of(IdTable(tensors["user_ids_blob"], offsets), user_ids)
    is_torn = sha256(tensors["user_ids_blob"]) != manifest.tensors["user_ids_blob"].sha256
    if not rows and not is_torn:
        return False
    spans = spans_of(rows, tensors)
    for name in PER_USER:
        _overwrite(client, keys, manifest, name, spans[name])
    ids = blank("user_ids_blob", tensors["user_ids_blob"], spans["user_ids_blob"])
    digests = {name: _digest(client, keys, manifest, name) for name in PER_USER}
    digests["user_ids_blob"] = sha256(ids)
    after = manifest_without(manifest, IdTable(ids, offsets), digests, erasures)
    _overwrite(client, keys, manifest, "user_ids_blob", spans["user_ids_blob"])
    client.set(keys.manifest(manifest.model_version), after.model_dump_json())
    return True


def stored_array(
    client: Client, keys: KeySpace, manifest: ArtifactManifest, name: str
) -> NDArray[Any]:
    """A whole tensor of a stored version; ArtifactError if a part of it is not there."""
    data = bytearray()
    for batch in batches(chunks(keys, manifest, [name])):
        with client.pipeline(transaction=False) as pipe:
            for chunk in batch:
                pipe.get(chunk.key)
            for chunk, part in zip(batch, pipe.execute(), strict=True):
                chunk.check_length(len(part or b""))
                data += part
    spec = manifest.tensors[name]
    return np.frombuffer(bytes(data), dtype=spec.dtype).reshape(spec.shape)


def _digest(client: Client, keys: KeySpace, manifest: ArtifactManifest, name: str) -> str:
    digest = hashlib.sha256()
    for batch in batches(chunks(keys, manifest, [name])):
        with client.pipeline(transaction=False) as pipe:
            for chunk in batch:
                pipe.get(chunk.key)
            for part in pipe.execute():
                digest.update(part or b"")
    return digest.hexdigest()


def _overwrite(
    client: Client,
    keys: KeySpace,
    manifest: ArtifactManifest,
    name: str,
    spans: Iterable[tuple[int, int]],
) -> None:
    """Fill spans of the first axis of a stored array; a chunk that is gone stays gone."""
    layout = layout_of(manifest, name)
    byte = bytes([filler(name)])
    for start, stop in spans:
        row = start
        while row < stop:
            chunk, first, _ = layout.locate(row)
            end = min(stop, (chunk + 1) * layout.rows_per_chunk)
            size = (end - row) * layout.row_bytes
            key = keys.chunk(manifest.model_version, name, chunk)
            if client.exists(key):
                client.execute_command("SETRANGE", key, first, byte * size)  # type: ignore[no-untyped-call]
            row = end
