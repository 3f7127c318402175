"""A trained model's weights on the same data and on other data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.data.dataset import DataConfig, Dataset, load_dataset
from training.data.features import ModalityFeatures
from training.fit.config import TrainingConfig
from training.fit.trained_model import TrainedModel
from training.fit.trainer import train
from training.retrain.live_model import SavedWeights, WeightsError


@pytest.fixture(scope="module")
def dataset(tiny_data: Path) -> Dataset:
    return load_dataset(DataConfig(folder=tiny_data, split="global-time"))


@pytest.fixture(scope="module")
def model(dataset: Dataset) -> TrainedModel:
    config = TrainingConfig(max_epochs=3, embedding_dim=8, batch_size=64, negatives=16)
    return train(dataset, config)


@pytest.fixture
def saved(model: TrainedModel, dataset: Dataset, tmp_path: Path) -> SavedWeights:
    SavedWeights.of(model, dataset, 7.0).save(tmp_path / "weights.pt")
    return SavedWeights.load(tmp_path / "weights.pt")


def test_on_the_same_data_it_is_the_same_model(
    saved: SavedWeights, model: TrainedModel, dataset: Dataset
) -> None:
    again = TrainedModel.of(saved.on(dataset), dataset, saved.recency_power)
    users = np.arange(len(dataset.user_ids))
    np.testing.assert_allclose(again.score(users), model.score(users), atol=1e-4)
    assert saved.trained_until == 7.0


def test_features_that_have_turned_mean_what_they_meant(
    saved: SavedWeights, model: TrainedModel, dataset: Dataset
) -> None:
    turned = dict(dataset.features)
    axes, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))
    x_IF = (dataset.features["text"].x_IF @ axes).astype(np.float32)
    turned["text"] = ModalityFeatures(x_IF=x_IF, present_I=dataset.features["text"].present_I)
    other = replace(dataset, features=turned)
    again = TrainedModel.of(saved.on(other), other, saved.recency_power)
    users = np.arange(len(dataset.user_ids))
    np.testing.assert_allclose(again.score(users), model.score(users), atol=1e-3)


def test_items_are_matched_by_id(saved: SavedWeights, dataset: Dataset) -> None:
    renamed = ["another", *dataset.item_ids[1:]]
    magnet = saved.on(replace(dataset, item_ids=renamed))
    assert not magnet.item_behaviour_ID[0].any()
    assert magnet.item_behaviour_ID[1].equal(saved.state["item_behaviour_ID"][1])


def test_other_modalities_do_not_fit(saved: SavedWeights, dataset: Dataset) -> None:
    with pytest.raises(WeightsError, match="the live model knows behaviour, picture, text"):
        saved.on(replace(dataset, features={}))


def test_a_damaged_file_is_named(saved: SavedWeights, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError, match="cannot be read"):
        SavedWeights.load(path)


def test_training_goes_on_from_a_model_in_the_second_stage(
    saved: SavedWeights, dataset: Dataset
) -> None:
    config = TrainingConfig(max_epochs=2, embedding_dim=8, batch_size=64, negatives=16)
    further = train(dataset, config, start=saved.on(dataset))
    assert [record.stage for record in further.history] == ["encoders", "specialisation"]
    assert further.trigger_epoch == 1


def test_users_are_matched_by_id_and_a_new_one_is_learnt(
    saved: SavedWeights, dataset: Dataset
) -> None:
    free_UD = torch.randn(saved.state["user_behaviour_UD"].shape)
    saved = replace(saved, state=saved.state | {"user_behaviour_UD": free_UD})
    renamed = replace(dataset, user_ids=["a newcomer", *dataset.user_ids[1:]])
    magnet = saved.on(renamed)
    assert magnet.user_behaviour_UD[1:].equal(free_UD[1:])
    assert not magnet.user_behaviour_UD[0].any()
    assert magnet.trust_U1[1:].equal(saved.trust_U1[1:])
    assert magnet.trust_U1[0] == 0
    config = TrainingConfig(max_epochs=1, embedding_dim=8, batch_size=64, negatives=16)
    further = train(renamed, config, start=magnet)
    assert further.magnet.trust_U1[0] > 0


def test_weights_of_another_release_are_told(saved: SavedWeights, dataset: Dataset) -> None:
    state = {name: x for name, x in saved.state.items() if name != "item_item_deviation"}
    with pytest.raises(WeightsError, match="another release"):
        replace(saved, state=state).on(dataset)


def test_a_file_of_a_release_that_knew_no_free_parts_cannot_be_read(
    saved: SavedWeights, tmp_path: Path
) -> None:
    fields = torch.load(tmp_path / "weights.pt", weights_only=True)
    torch.save({x: fields[x] for x in fields if x != "user_ids"}, tmp_path / "old.pt")
    with pytest.raises(WeightsError, match="cannot be read"):
        SavedWeights.load(tmp_path / "old.pt")
