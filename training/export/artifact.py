"""Trained model -> artifact folder: ONNX head, embeddings, ids, metadata, golden pairs, manifest.

Knows what the service needs and how to prove it; knows nothing about Redis. Letters: U users,
I items, V views, M modalities, D dimension, K experts, J routing channels.
"""

import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from model.artifact.files import MANIFEST, Artifact, read_artifact, write_artifact
from model.artifact.layout import little_endian, sha256
from model.artifact.manifest import (
    ArtifactManifest,
    ExpertSpec,
    FileSpec,
    Golden,
    TensorSpec,
    TrainingRecord,
)
from model.artifact.tables import IdTable, StringTable
from model.network.config import VIEWS
from training.data.dataset import Dataset
from training.data.histories import served_histories
from training.export.onnx import export_head, session
from training.fit.item_item import as_tensors, from_tensors, neighbourhoods
from training.fit.trained_model import TrainedModel

_GOLDEN_SIDE = 8
"""Users and items of the golden matrix."""
_SAMPLED_USERS, _SAMPLED_ITEMS = 256, 256
"""Pairs over which an expert's usual weight is taken."""

Arrays = dict[str, NDArray[Any]]


def export_artifact(
    folder: Path,
    model: TrainedModel,
    dataset: Dataset,
    *,
    seed: int,
    settings: dict[str, dict[str, object]],
    metrics: dict[str, float],
) -> ArtifactManifest:
    """Write an artifact that replaces `folder` in one step, after proving that it is right.

    Raises:
        ParityError: ONNX does not compute what torch computes; `folder` is as it was.
        FileExistsError: see `check_target`.
    """
    check_target(folder)
    tensors = _tensors(model, dataset)
    files = export_head(model.magnet.head)
    record = TrainingRecord(
        data_sha256=dataset.sha256,
        split=dataset.split,
        seed=seed,
        best_epoch=model.best_epoch,
        trigger_epoch=model.trigger_epoch,
        config=settings,
        history=list(model.history),
    )
    manifest = _manifest(tensors, files, model, record, metrics)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write_artifact(staging, Artifact(manifest=manifest, tensors=tensors, files=files))
        read_artifact(staging)
        _replace(folder, staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


def check_target(folder: Path) -> None:
    """Raise FileExistsError if `folder` holds something that is not an artifact."""
    is_file = folder.exists() and not folder.is_dir()
    if is_file or (folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).exists()):
        raise FileExistsError(f"{folder} exists and is not an artifact: choose another --out")


def _replace(folder: Path, staging: Path) -> None:
    """Put `staging` in the place of `folder`; a kill between the two renames leaves both whole."""
    staging.chmod(0o755)
    if folder.exists():
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-old-", dir=folder.parent) as old:
            folder.rename(Path(old) / "artifact")
            staging.rename(folder)
    else:
        staging.rename(folder)


@torch.inference_mode()
def _tensors(model: TrainedModel, dataset: Dataset) -> Arrays:
    """Users are folded in from everything known of them, the held-out parts included.

    What was held out measured the model; it would be a loss to withhold it from the user.
    """
    magnet, embeddings = model.magnet, model.embeddings
    user_UVMD = model.users(dataset.histories.recency_weighted(model.recency_power))
    users, items = IdTable.of(dataset.user_ids), IdTable.of(dataset.item_ids)
    metadata = StringTable.of(
        json.dumps(fields, ensure_ascii=False) for fields in dataset.item_metadata
    )
    arrays = {
        "user_embeddings": user_UVMD,
        "item_embeddings": embeddings.item_IVMD.cpu().numpy(),
        "item_foldin": embeddings.foldin_IVMD.cpu().numpy(),
        "item_routing": magnet.head.router.item_evidence(embeddings.item_IVMD).cpu().numpy(),
        "item_bias": magnet.item_bias().cpu().numpy(),
        **as_tensors(model.neighbourhood_II),
        "item_popularity": np.bincount(dataset.train.indices, minlength=dataset.train.shape[1]),
        "seen_offsets": dataset.seen.indptr.astype(np.int64),
        "seen_items": _history_first(dataset).astype(np.int32),
        "history_lengths": dataset.histories.length_U.astype(np.int32),
    }
    for name, table in (("user_ids", users), ("item_ids", items), ("item_metadata", metadata)):
        arrays[f"{name}_blob"], arrays[f"{name}_offsets"] = table.blob, table.offsets
    return {name: little_endian(array) for name, array in arrays.items()}


def _history_first(dataset: Dataset) -> NDArray[np.int64]:
    """Seen item rows, user after user; each one's positives oldest to newest, then the rest."""
    histories = dataset.histories
    rest = csr_array(dataset.seen - (histories.recency_weighted(0.0) > 0))
    rest.eliminate_zeros()
    user_U = np.arange(len(histories.length_U))
    user_N = np.repeat(np.tile(user_U, 2), np.append(histories.length_U, np.diff(rest.indptr)))
    item_N = np.append(histories.item_P, rest.indices).astype(np.int64)
    return item_N[np.argsort(user_N, kind="stable")]


def _manifest(
    tensors: Arrays,
    files: dict[str, bytes],
    model: TrainedModel,
    record: TrainingRecord,
    metrics: dict[str, float],
) -> ArtifactManifest:
    now = datetime.now(UTC)
    tensor_specs = {name: TensorSpec.of(array) for name, array in tensors.items()}
    file_specs = {name: FileSpec.of(data) for name, data in files.items()}
    checksums = {name: spec.sha256 for name, spec in tensor_specs.items()}
    identity = json.dumps([checksums, [spec.sha256 for spec in file_specs.values()]])
    magnet = model.magnet.config
    pairs = _Pairs(tensors, model.recency_power)
    return ArtifactManifest(
        model_version=f"{now:%Y%m%dT%H%M%S}-{sha256(identity.encode())[:8]}",
        created_at=now.isoformat(timespec="seconds"),
        num_users=len(tensors["user_embeddings"]),
        num_items=len(tensors["item_bias"]),
        views=list(VIEWS),
        modalities=list(magnet.modalities),
        embedding_dim=magnet.embedding_dim,
        experts=_experts(model, pairs, files),
        gate_threshold=magnet.gate_threshold,
        recency_power=model.recency_power,
        tensors=tensor_specs,
        files=file_specs,
        golden=_golden(pairs, files),
        metrics=metrics,
        training=record,
    )


def _experts(model: TrainedModel, pairs: "_Pairs", files: dict[str, bytes]) -> list[ExpertSpec]:
    head = model.magnet.head
    template_KM = head.templates().tolist()
    usual_K = _usual_weights(pairs, files)
    return [
        ExpertSpec(
            name=expert.name,
            role=expert.role,
            modality=None if expert.role == "balanced" else expert.modality,
            template=template_M,
            usual_weight=float(usual),
        )
        for expert, template_M, usual in zip(
            head.templates.experts, template_KM, usual_K, strict=True
        )
    ]


class _Pairs:
    """Inputs of `explain.onnx` for every one of some users with every one of some items."""

    def __init__(self, tensors: Arrays, recency_power: float) -> None:
        self.tensors = tensors
        self.num_users, self.num_items = (
            len(tensors[name]) for name in ("user_embeddings", "item_bias")
        )
        self._history_UI = served_histories(tensors, self.num_items, recency_power)
        self._neighbourhood_II = from_tensors(tensors)

    def feeds(self, user_B: NDArray[Any], item_C: NDArray[Any]) -> Arrays:
        """Shapes as the graph has them."""

        def for_each_user(name: str) -> NDArray[Any]:
            rows = self.tensors[name][item_C]
            return np.broadcast_to(rows, (len(user_B), *rows.shape)).copy()

        return {
            "user": self.tensors["user_embeddings"][user_B],
            "item": for_each_user("item_embeddings"),
            "item_routing": for_each_user("item_routing"),
            "item_bias": for_each_user("item_bias"),
            "neighbourhood": neighbourhoods(
                self._history_UI[user_B], csr_array(self._neighbourhood_II[:, item_C])
            ),
        }


def _usual_weights(pairs: _Pairs, files: dict[str, bytes]) -> NDArray[np.float64]:
    """Mean weight of every expert over random pairs of users with a history and items [K]."""
    generator = np.random.default_rng(0)
    known_U = np.flatnonzero(pairs.tensors["user_embeddings"].any(axis=(1, 2, 3)))
    user_B = generator.choice(known_U, min(_SAMPLED_USERS, len(known_U)), replace=False)
    item_C = generator.choice(pairs.num_items, min(_SAMPLED_ITEMS, pairs.num_items), replace=False)
    explain = session(files["explain.onnx"])
    total_K = sum(
        explain.run(["weight"], pairs.feeds(user_B[b : b + 1], item_C))[0].mean((0, 1))
        for b in range(len(user_B))
    )
    return np.asarray(total_K, dtype=np.float64) / len(user_B)


def _golden(pairs: _Pairs, files: dict[str, bytes]) -> Golden:
    """Scores and contributions of some users with some items, by the exported graph."""
    generator = np.random.default_rng(0)
    user_B = generator.choice(pairs.num_users, min(_GOLDEN_SIDE, pairs.num_users), replace=False)
    item_C = generator.choice(pairs.num_items, min(_GOLDEN_SIDE, pairs.num_items), replace=False)
    score_BC, contribution_BCKVM = session(files["explain.onnx"]).run(
        ["score", "contribution"], pairs.feeds(user_B, item_C)
    )
    return Golden(
        user_rows=user_B.tolist(),
        item_rows=item_C.tolist(),
        scores=score_BC.tolist(),
        contributions=contribution_BCKVM.sum((3, 4)).tolist(),
    )
