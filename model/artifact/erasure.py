"""A model version without some of its users: their ids, vectors and items overwritten.

Ids become `BLANK`, the rest zeros; rows keep their places. A user who is not there changes nothing,
so an erasure that was interrupted can be done again.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.manifest import ArtifactManifest, Golden, TensorSpec
from model.artifact.stored import PER_USER
from model.artifact.tables import BLANK, IdTable

REWRITTEN = (*PER_USER, "user_ids_blob")
"""The arrays that hold users. The ids come last: as long as they are there, rows are found."""


def rows_of(table: IdTable, user_ids: Collection[str]) -> list[int]:
    """Rows of those of some users who are in a table, ascending."""
    found = (table.row(user_id) for user_id in user_ids)
    return sorted(row for row in found if row is not None)


def spans_of(
    rows: Collection[int], tensors: Mapping[str, NDArray[Any]]
) -> dict[str, list[tuple[int, int]]]:
    """By name of `REWRITTEN`: [start, stop) of what some users have of the first axis.

    Args:
        rows: of the users.
        tensors: `seen_offsets` and `user_ids_offsets` at least.
    """

    def between(offsets: NDArray[Any]) -> list[tuple[int, int]]:
        return [(int(offsets[row]), int(offsets[row + 1])) for row in rows]

    return {
        "user_embeddings": [(row, row + 1) for row in rows],
        "seen_items": between(tensors["seen_offsets"]),
        "user_ids_blob": between(tensors["user_ids_offsets"]),
    }


def filler(name: str) -> int:
    """What stands in place of a user in an array of `REWRITTEN`."""
    return BLANK if name == "user_ids_blob" else 0


def manifest_without(
    manifest: ArtifactManifest, table: IdTable, sha256: Mapping[str, str], erasures: int
) -> ArtifactManifest:
    """The manifest of what has been rewritten.

    Args:
        manifest: of what it was.
        table: the ids, as they are now.
        sha256: new checksums, by name of an array.
        erasures: the number of the latest erasure that it is rewritten for.
    """
    golden = manifest.golden
    kept = [place for place, row in enumerate(golden.user_rows) if not table.is_blank(row)]
    specs = {
        name: TensorSpec(dtype=spec.dtype, shape=spec.shape, sha256=sha256.get(name, spec.sha256))
        for name, spec in manifest.tensors.items()
    }
    return manifest.model_copy(
        update={
            "tensors": specs,
            "golden": Golden(
                user_rows=[golden.user_rows[place] for place in kept],
                item_rows=golden.item_rows,
                scores=[golden.scores[place] for place in kept],
                contributions=[golden.contributions[place] for place in kept],
            ),
            "erasures": max(erasures, manifest.erasures),
        }
    )


def blank(name: str, array: NDArray[Any], spans: Collection[tuple[int, int]]) -> NDArray[Any]:
    """A copy of an array of `REWRITTEN` without what stands in some spans of its first axis."""
    fresh = np.array(array)
    for start, stop in spans:
        fresh[start:stop] = filler(name)
    return fresh
