"""Whether a model is of the shop whose model is live: by the items and users that both know."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray

from model.artifact.files import Artifact, ArtifactError
from model.artifact.stored import read_manifest
from model.artifact.tables import StringTable
from model.registry.keys import KeySpace
from training.publish.connection import Client, PublishError
from training.publish.rewriting import stored_array

LEAST_SHARED = 0.1
"""Of the smaller catalogue: less than any season changes (ours)."""


def check_same_shop(client: Client, keys: KeySpace, artifact: Artifact, live: str) -> None:
    """PublishError if the live model knows hardly any item of another one.

    A live model that cannot be read is no reason to refuse.
    """
    with suppress(ArtifactError):
        manifest = read_manifest(client.get(keys.manifest(live)), live)
        names = [f"{what}_ids_{part}" for what in ("item", "user") for part in ("blob", "offsets")]
        stored = {name: stored_array(client, keys, manifest, name) for name in names}
        (items, most_items), (users, most_users) = (
            _shared(artifact.tensors, stored, what) for what in ("item", "user")
        )
        if items < LEAST_SHARED * most_items:
            raise PublishError(
                f"{artifact.manifest.model_version} shares {items:,} of at most {most_items:,} "
                f"items and {users:,} of at most {most_users:,} users with {live}, which is live "
                f"in namespace {keys.namespace!r}: it seems to be another shop's. Nothing was "
                "changed. Publish it to another --namespace, or replace the live model with --force"
            )


def _shared(
    ours: Mapping[str, NDArray[Any]], theirs: Mapping[str, NDArray[Any]], what: str
) -> tuple[int, int]:
    """How many ids two models share, and how many they could share."""
    ids = [_ids(tensors, what) for tensors in (ours, theirs)]
    return len(ids[0] & ids[1]), min(map(len, ids))


def _ids(tensors: Mapping[str, NDArray[Any]], what: str) -> set[bytes]:
    table = StringTable(tensors[f"{what}_ids_blob"], tensors[f"{what}_ids_offsets"])
    return {table.raw(row) for row in range(len(table))}
