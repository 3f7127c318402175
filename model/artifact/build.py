"""The one place where arrays, graphs and facts become an artifact with a manifest."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NotRequired, TypedDict, Unpack

from numpy.typing import NDArray

from model.artifact.files import Artifact
from model.artifact.manifest import (
    HALVED,
    ArtifactManifest,
    ExpertSpec,
    FileSpec,
    Golden,
    TensorSpec,
    TrainingRecord,
    little_endian,
    sha256,
)
from model.artifact.tables import IdTable, StringTable

Tensors = dict[str, NDArray[Any]]


class Facts(TypedDict):
    """What an artifact's arrays and files do not say; see the fields of `ArtifactManifest`."""

    views: list[str]
    modalities: list[str]
    experts: list[ExpertSpec]
    gate_threshold: float
    recency_power: float
    item_item_deviation: NotRequired[float | None]
    newcomer_popularity: NotRequired[float]
    events_until: NotRequired[datetime | None]
    items_until: NotRequired[datetime | None]
    erasures: NotRequired[int]
    golden: Golden
    metrics: dict[str, float]
    training: TrainingRecord
    model_version: NotRequired[str]
    """Default: the time of the build and the first digits of a checksum of everything."""
    created_at: NotRequired[str]
    """Default: now."""
    chunk_bytes: NotRequired[int]


def with_tables(
    arrays: Mapping[str, NDArray[Any]],
    *,
    user_ids: Iterable[str],
    item_ids: Iterable[str],
    item_metadata: Iterable[str],
) -> Tensors:
    """An artifact's tensors: arrays in the byte order that travels, ids, and items' JSON objects.

    ValueError if ids are not distinct and sorted.
    """
    tensors = dict(arrays)
    for name, table in (
        ("user_ids", IdTable.of(user_ids)),
        ("item_ids", IdTable.of(item_ids)),
        ("item_metadata", StringTable.of(item_metadata)),
    ):
        tensors[f"{name}_blob"], tensors[f"{name}_offsets"] = table.blob, table.offsets
    return {name: little_endian(array) for name, array in tensors.items()}


def halved(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The same tensors, the items' vectors in 16 bits."""
    return {
        name: array.astype("<f2") if name in HALVED else array for name, array in tensors.items()
    }


def build_artifact(
    tensors: Mapping[str, NDArray[Any]], files: Mapping[str, bytes], **facts: Unpack[Facts]
) -> Artifact:
    """Describe tensors (see `with_tables`) and files in a manifest, and put all of it together.

    The version's name is the second and a hash of the microsecond and all bytes, so that two models
    made within a second, of the same bytes too, have two names.

    Raises:
        pydantic.ValidationError: a tensor or file is missing, or has another type or shape than
            the contract says (`model.artifact.manifest.expected_tensors`).
    """
    tensor_specs = {name: TensorSpec.of(array) for name, array in tensors.items()}
    file_specs = {name: FileSpec.of(data) for name, data in files.items()}
    checksums = {name: spec.sha256 for name, spec in tensor_specs.items()}
    now = datetime.now(UTC)
    files_checksums = [spec.sha256 for spec in file_specs.values()]
    identity = json.dumps([now.isoformat(), checksums, files_checksums])
    derived = {
        "model_version": f"{now:%Y%m%dT%H%M%S}-{sha256(identity.encode())[:8]}",
        "created_at": now.isoformat(timespec="seconds"),
        "num_users": len(tensors["user_embeddings"]),
        "num_items": len(tensors["item_embeddings"]),
        "embedding_dim": tensors["item_embeddings"].shape[-1],
        "tensors": tensor_specs,
        "files": file_specs,
    }
    manifest = ArtifactManifest.model_validate({**derived, **facts})
    return Artifact(manifest=manifest, tensors=tensors, files=files)


def untrained(seed: int) -> TrainingRecord:
    """The record of a model that nobody trained: made from a seed, for a benchmark or a test."""
    return TrainingRecord(
        data_sha256="0" * 64,
        split="none",
        seed=seed,
        best_epoch=0,
        trigger_epoch=None,
        config={},
        history=[],
    )
