"""Erasures in Redis: their records (`model.registry.erasures`), and stored versions rewritten."""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from model.artifact.erasure import blank, filler, manifest_without, rows_of, spans_of
from model.artifact.files import ArtifactError
from model.artifact.manifest import ArtifactManifest, sha256
from model.artifact.stored import PER_USER, read_manifest
from model.artifact.tables import BLANK, IdTable
from model.registry.erasures import Erasure, Part, all_of
from model.registry.keys import KeySpace
from model.registry.revisions import draw_step
from training.publish.blobs import overwrite, stored_array, stored_digest
from training.publish.connection import Client, Transaction
from training.publish.lock import FencedLock
from training.publish.registry import Registry

_BATCH_IDS = 1000
_TABLES = ("user_ids_blob", "user_ids_offsets", "seen_offsets")


class ErasureRecords:
    """The records of one namespace. Every method raises what redis-py raises."""

    def __init__(self, client: Client, keys: KeySpace) -> None:
        self._client, self._keys = client, keys

    def all(self) -> list[Erasure]:
        """Every record, oldest first."""
        client: Any = self._client
        return all_of(client.hgetall(self._keys.erasures).values())

    def mark(self, part: Part, of: Iterable[Erasure]) -> None:
        """Note that a part is done; the record has no id after its last part.

        An erasure that was asked for once more meanwhile has another number, and waits anew.
        """
        numbers = {each.erasure_id: each.number for each in of}
        now = datetime.now(UTC)

        def change(each: Erasure) -> Erasure | None:
            current = numbers.get(each.erasure_id) == each.number and part in each.waiting
            return each.with_done(part, now) if current else each

        self._change(change)

    def drop_outdated(self) -> None:
        """Remove the records of erasures that were done long ago."""
        now = datetime.now(UTC)
        self._change(lambda each: None if each.is_outdated(now) else each)

    def _change(self, change: Callable[[Erasure], Erasure | None]) -> None:
        """Put other records in the place of those that `change` answers otherwise."""
        keys = self._keys

        def write(pipe: Transaction) -> None:
            stored: Any = pipe.hgetall(keys.erasures)
            after = [(each, change(each)) for each in all_of(stored.values())]
            changed = [(old, new) for old, new in after if new != old]
            pipe.multi()
            for old, new in changed:
                if new is None:
                    pipe.hdel(keys.erasures, old.erasure_id)
                else:
                    pipe.hset(keys.erasures, old.erasure_id, new.model_dump_json())
            if gone := [old.user_hash for old, new in changed if new is None]:
                pipe.hdel(keys.erasures_by_user, *gone)

        self._client.transaction(write, keys.erasures)


def ids_of(erasures: Iterable[Erasure]) -> list[str]:
    """The users whom some erasures still name."""
    return [each.user_id for each in erasures if each.user_id is not None]


def forget_event_ids(client: Client, keys: KeySpace, event_ids: Collection[str]) -> None:
    """Remove ids from those of events taken in lately."""
    left = iter(event_ids)
    while batch := list(islice(left, _BATCH_IDS)):
        client.zrem(keys.feedback_ids, *batch)


def rewrite_versions(
    client: Client, keys: KeySpace, user_ids: Collection[str], erasures: int, lock: FencedLock
) -> list[str]:
    """Take users out of every stored version, live or not; returns those that had one of them.

    Readers may be at work meanwhile: nobody asks for a user who was erased, and a replica that
    loads a version between its bytes and its manifest refuses it, and tries again. A version whose
    manifest cannot be read is left alone: nobody can serve it.
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
        overwrite(client, keys, manifest, name, spans[name], filler(name))
    ids = blank("user_ids_blob", tensors["user_ids_blob"], spans["user_ids_blob"])
    digests = {name: stored_digest(client, keys, manifest, name) for name in PER_USER}
    digests["user_ids_blob"] = sha256(ids)
    after = manifest_without(manifest, IdTable(ids, offsets), digests, erasures)
    overwrite(client, keys, manifest, "user_ids_blob", spans["user_ids_blob"], BLANK)
    client.set(keys.manifest(manifest.model_version), after.model_dump_json())
    return True
