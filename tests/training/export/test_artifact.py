"""An exported artifact scores as the trained model does, with free parts and item-item scores."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.artifact.files import Artifact, read_artifact
from model.artifact.manifest import HALVED
from model.network.head import FusionHead
from model.runtime.artifact import ArtifactScorer
from training.data.dataset import Dataset
from training.evaluate.artifact import ArtifactEvaluation
from training.export import artifact as artifact_module
from training.export.artifact import export_artifact
from training.fit.calibration import Fusion
from training.fit.config import TrainingConfig
from training.fit.trained_model import TrainedModel, build_magnet

POWER = 0.75
FUSION = Fusion(popularity=0.05, item_item=0.08, content={"picture": 0.4, "text": 0.2}, cold=0.5)


@pytest.fixture(scope="module")
def model(dataset: Dataset) -> TrainedModel:
    """With arbitrary weights, and free parts of all users who have chosen anything."""
    generator = torch.Generator().manual_seed(0)
    magnet = build_magnet(dataset, TrainingConfig(embedding_dim=8), generator).eval()
    with torch.no_grad():
        for parameter in magnet.head.parameters():
            parameter.normal_(std=0.5, generator=generator)
        magnet.user_behaviour_UD.normal_(std=0.3, generator=generator)
    FUSION.settle(magnet)
    return TrainedModel.of(magnet, dataset, POWER)


@pytest.fixture(scope="module")
def exported(
    model: TrainedModel, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    out = tmp_path_factory.mktemp("exported") / "artifact"
    export_artifact(out, model, dataset, seed=0, settings={}, metrics={})
    return read_artifact(out)


def test_it_scores_as_the_model_does(
    model: TrainedModel, dataset: Dataset, exported: Artifact
) -> None:
    scorer, users = ArtifactScorer.of(exported), np.arange(len(dataset.user_ids))
    weight_UI = dataset.histories.recency_weighted(POWER)
    known_UVMD = model.known_users(users, weight_UI)
    expected_UI = model.score_with(known_UVMD, model.item_item(weight_UI))
    score_UI = scorer.scorer.score_all([scorer.user(user) for user in users])
    np.testing.assert_allclose(score_UI, expected_UI, atol=1e-4)
    without_UI = model.score_with(model.users(weight_UI), model.item_item(weight_UI))
    assert np.abs(without_UI - expected_UI).max() > 0.1
    silent_UI = model.score_with(known_UVMD, np.zeros_like(expected_UI))
    assert np.abs(silent_UI - expected_UI).max() > 0.1


def test_from_training_histories_it_scores_as_the_model_was_measured(
    model: TrainedModel, dataset: Dataset, exported: Artifact
) -> None:
    users = np.arange(len(dataset.user_ids))
    score_UI = ArtifactEvaluation(exported, dataset).score(users)
    np.testing.assert_allclose(score_UI, model.score(users), atol=1e-4)


def test_items_are_as_long_as_their_modality_is_reliable(
    model: TrainedModel, exported: Artifact
) -> None:
    length_IVM = np.linalg.norm(exported.tensors["item_embeddings"], axis=-1)
    reliability_M = np.array([3, 1.2, 0.6])
    there_IVM = length_IVM > 0
    expected_IVM = np.broadcast_to(reliability_M, length_IVM.shape)
    assert length_IVM[there_IVM] == pytest.approx(expected_IVM[there_IVM], rel=1e-4)
    assert exported.manifest.item_item_deviation == pytest.approx(3 * FUSION.item_item)
    assert exported.manifest.schema_version == 4


def test_vectors_of_many_items_are_in_16_bits(
    model: TrainedModel,
    dataset: Dataset,
    exported: Artifact,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(artifact_module, "HALVED_FROM", len(dataset.item_ids) - 1)
    export_artifact(tmp_path / "half", model, dataset, seed=0, settings={}, metrics={})
    half = read_artifact(tmp_path / "half")
    for name, tensor in half.tensors.items():
        assert (tensor.dtype == np.float16) == (name in HALVED or name == "item_content")
    everybody = range(len(dataset.user_ids))
    score_UI, expected_UI = (
        each.scorer.score_all([each.user(user) for user in everybody])
        for each in map(ArtifactScorer.of, (half, exported))
    )
    assert 0 < np.abs(score_UI - expected_UI).max() < 0.01 * np.abs(expected_UI).max()


def test_contributions_and_bias_are_the_score(exported: Artifact) -> None:
    scorer = ArtifactScorer.of(exported)
    rows = np.arange(exported.manifest.num_items)
    for user in range(0, 59, 7):
        profile = scorer.user(user)
        contribution_CKVM = scorer.scorer.explain(profile, rows).contribution_CKVM
        points_C = scorer.scorer.score(profile, rows) - scorer.scorer.bias_I[rows]
        assert contribution_CKVM.sum((1, 2, 3)) == pytest.approx(points_C, abs=1e-4)


def test_the_exported_head_knows_no_reliability(model: TrainedModel) -> None:
    head: FusionHead = model.magnet.head
    assert head.for_scaled_items().reliability_M.tolist() == [1, 1, 1]
    assert head.reliability_M.tolist() == pytest.approx([3, 1.2, 0.6])
