"""Trained model -> artifact folder: ONNX head, embeddings, ids, metadata, golden pairs, manifest.

Letters: U users, I items, V views, M modalities, D dimension, K experts, J routing channels,
P positives, N seen items.
"""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from model.artifact.build import Tensors, build_artifact, halved, with_tables
from model.artifact.files import MANIFEST, Artifact, read_artifact, write_artifact
from model.artifact.manifest import ArtifactManifest, ExpertSpec, TrainingRecord
from model.artifact.report import REPORT
from model.network.config import VIEWS
from model.network.head import FusionHead
from model.runtime.artifact import ArtifactScorer, record_golden
from model.runtime.item_item import ItemItemModel
from training.data.dataset import Dataset
from training.data.items import shown
from training.data.tables import DataError, check_named
from training.export.item_encoder import export_item_encoder
from training.export.onnx import export_head
from training.export.report import report_file
from training.fit.trained_model import TrainedModel

_GOLDEN_SIDE = 8
"""Users and items of the golden matrix."""
HALVED_FROM = 100_000
"""Of more items, the vectors are kept in 16 bits (docs/adr/0051)."""
_SAMPLED_USERS, _SAMPLED_ITEMS = 256, 256
"""Pairs over which an expert's usual weight is taken."""


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
        DataError: see `check_target`.
    """
    check_target(folder)
    record = TrainingRecord(
        data_sha256=dataset.sha256,
        split=dataset.split,
        seed=seed,
        best_epoch=model.best_epoch,
        trigger_epoch=model.trigger_epoch,
        config=settings,
        history=list(model.history),
        early=model.early,
        held_out=model.held_out,
    )
    artifact = _artifact(model, dataset, record, metrics)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write_artifact(staging, artifact)
        read_artifact(staging)
        _replace(folder, staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return artifact.manifest


def check_target(folder: Path) -> None:
    """DataError if `folder` cannot be made, or holds something that is not an artifact."""
    check_named(folder)
    is_file = folder.exists() and not folder.is_dir()
    if is_file or (folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).exists()):
        raise DataError(folder, "exists and is not an artifact", "choose another --out")


def _replace(folder: Path, staging: Path) -> None:
    """Put `staging` in the place of `folder`; a kill between the two renames leaves both whole."""
    staging.chmod(0o755)
    if folder.exists():
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-old-", dir=folder.parent) as old:
            folder.rename(Path(old) / "artifact")
            staging.rename(folder)
    else:
        staging.rename(folder)


def _artifact(
    model: TrainedModel, dataset: Dataset, record: TrainingRecord, metrics: dict[str, float]
) -> Artifact:
    head = model.magnet.head
    encoder_files, encoder_tensors = export_item_encoder(model, dataset.features)
    tensors = _tensors(model, dataset) | encoder_tensors
    if len(dataset.item_ids) > HALVED_FROM:
        tensors = halved(tensors)
    files = export_head(head) | encoder_files
    scorer = ArtifactScorer.of_parts(
        tensors,
        files,
        recency_power=model.recency_power,
        item_item_deviation=_deviation(model),
    )
    generator = np.random.default_rng(0)
    users, items = (
        generator.choice(count, min(_GOLDEN_SIDE, count), replace=False).tolist()
        for count in (len(dataset.user_ids), len(dataset.item_ids))
    )
    profiles = [scorer.user(user) for user in users]
    experts = expert_specs(head, _usual_weights(scorer))
    if not record.early:
        names = [expert.name for expert in experts]
        files[REPORT] = report_file(scorer, names, head.config.modalities)
    return build_artifact(
        tensors,
        files,
        views=list(VIEWS),
        modalities=list(head.config.modalities),
        experts=experts,
        gate_threshold=head.config.gate_threshold,
        recency_power=model.recency_power,
        item_item_deviation=_deviation(model),
        newcomer_popularity=float(model.magnet.newcomer_popularity),
        events_until=model.events_until,
        items_until=dataset.items_until,
        erasures=model.erasures,
        golden=record_golden(scorer.scorer, profiles, users, items),
        metrics=metrics,
        training=record,
    )


def _deviation(model: TrainedModel) -> float:
    """Of item-item scores, as they are added to behaviour's similarity with scaled items."""
    return float(model.magnet.item_item_deviation * model.magnet.head.reliability_M[0])


@torch.inference_mode()
def _tensors(model: TrainedModel, dataset: Dataset) -> Tensors:
    """Users are folded in from everything known of them, the held-out parts included.

    What was held out measured the model; withholding it from the user would be a loss.
    """
    magnet, embeddings = model.magnet, model.embeddings
    reliability_M1 = magnet.head.reliability_M.unsqueeze(1)
    item_item_II = model.item_item_II.sorted_indices()
    item_item = ItemItemModel(item_item_II.indptr, item_item_II.indices, item_item_II.data)
    return with_tables(
        {
            "user_embeddings": model.known_users(
                np.arange(len(dataset.user_ids)),
                dataset.histories.recency_weighted(model.recency_power),
            ),
            "item_embeddings": (embeddings.item_IVMD * reliability_M1).cpu().numpy(),
            "item_foldin": embeddings.foldin_IVMD.cpu().numpy(),
            "item_routing": magnet.head.router.item_evidence(embeddings.item_IVMD).cpu().numpy(),
            "item_bias": magnet.item_bias().cpu().numpy(),
            **item_item.tensors(),
            "item_popularity": _popularity(model),
            "seen_offsets": dataset.seen.indptr.astype(np.int64),
            "seen_items": _history_first(dataset).astype(np.int32),
            "history_lengths": dataset.histories.length_U.astype(np.int32),
        },
        user_ids=dataset.user_ids,
        item_ids=dataset.item_ids,
        item_metadata=(
            json.dumps(shown(each), ensure_ascii=False) for each in dataset.item_metadata
        ),
    )


def _popularity(model: TrainedModel) -> NDArray[np.int64]:
    """Interactions of every item in the model's training [I]."""
    weight_UI = model.train_weight_UI
    return np.bincount(weight_UI.indices, minlength=weight_UI.shape[1])


def _history_first(dataset: Dataset) -> NDArray[np.int64]:
    """Seen item rows, user after user; each one's positives oldest to newest, then the rest."""
    histories = dataset.histories
    rest = csr_array(dataset.seen - (histories.recency_weighted(0.0) > 0))
    rest.eliminate_zeros()
    user_U = np.arange(len(histories.length_U))
    user_N = np.repeat(np.tile(user_U, 2), np.append(histories.length_U, np.diff(rest.indptr)))
    item_N = np.append(histories.item_P, rest.indices).astype(np.int64)
    return item_N[np.argsort(user_N, kind="stable")]


def expert_specs(head: FusionHead, usual_weight_K: NDArray[np.float64]) -> list[ExpertSpec]:
    """The experts of a head, with their mean routing weights."""
    return [
        ExpertSpec(
            name=expert.name,
            role=expert.role,
            modality=None if expert.role == "balanced" else expert.modality,
            template=template_M,
            usual_weight=usual,
        )
        for expert, template_M, usual in zip(
            head.templates.experts, head.templates().tolist(), usual_weight_K.tolist(), strict=True
        )
    ]


def _usual_weights(scorer: ArtifactScorer) -> NDArray[np.float64]:
    """Mean weight of every expert over random pairs of users with a history and items [K]."""
    generator = np.random.default_rng(0)
    known_U = np.flatnonzero(scorer.tensors["user_embeddings"].any(axis=(1, 2, 3)))
    num_items = len(scorer.tensors["item_bias"])
    user_B = generator.choice(known_U, min(_SAMPLED_USERS, len(known_U)), replace=False)
    item_C = generator.choice(num_items, min(_SAMPLED_ITEMS, num_items), replace=False)
    found = scorer.scorer.explain_all(
        [scorer.user(user) for user in user_B.tolist()], np.tile(item_C, (len(user_B), 1))
    )
    means = [each.weight_CK.mean(axis=0) for each in found]
    return np.asarray(np.mean(means, axis=0, dtype=np.float64))
