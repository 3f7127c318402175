"""The offset of new items is what serves known items that are taken for new."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.network.encoder import GraphEncoder
from training.data.dataset import Dataset
from training.data.features import ModalityFeatures
from training.fit.calibration import Fusion
from training.fit.cold_start import as_if_new, for_new_items
from training.fit.config import TrainingConfig
from training.fit.graphs import build_graph
from training.fit.item_item import item_item_weights
from training.fit.trained_model import TrainedModel, build_magnet

GROUPS, USERS, ITEMS = 6, 300, 120


def shop(make_dataset, telling: bool) -> Dataset:
    """Users choose from one group; texts tell an item's group, or nothing. All items are known."""
    rng = np.random.default_rng(0)
    likes_UI = np.arange(USERS)[:, None] % GROUPS == np.arange(ITEMS) % GROUPS
    likes_UI &= rng.random(likes_UI.shape) < 0.4
    valid_UI = likes_UI & (rng.random(likes_UI.shape) < 0.3)
    dataset = make_dataset(likes_UI & ~valid_UI, valid_UI, np.zeros_like(likes_UI))
    group_IF = np.eye(GROUPS)[np.arange(ITEMS) % GROUPS] if telling else 0
    x_IF = (group_IF + rng.normal(scale=0.1, size=(ITEMS, GROUPS))).astype(np.float32)
    features = {"text": ModalityFeatures(x_IF=x_IF, present_I=np.ones(ITEMS, bool))}
    return replace(dataset, features=features)


def untrained(dataset: Dataset) -> tuple[TrainedModel, torch.Tensor]:
    """A model that starts where the data lead it, and its cold twins."""
    config = TrainingConfig(embedding_dim=8)
    magnet = build_magnet(dataset, config, torch.Generator().manual_seed(0)).eval()
    model = TrainedModel.of(magnet, dataset, 0.0)
    encoder = GraphEncoder(magnet, build_graph(model.train_weight_UI, dataset.features.values()))
    with torch.no_grad():
        return model, encoder.embed(cold_X=torch.arange(ITEMS)).cold_IVMD


def offset(dataset: Dataset) -> float:
    model, cold_XVMD = untrained(dataset)
    fusion = Fusion(popularity=0.3, content={"text": 1.0})
    return for_new_items(fusion, model, dataset, dataset.valid, cold_XVMD).cold


def test_what_content_tells_decides_though_no_held_out_positive_is_of_a_new_item(
    make_dataset,
) -> None:
    assert offset(shop(make_dataset, telling=True)) > offset(shop(make_dataset, telling=False))


def test_without_content_there_is_none(make_dataset) -> None:
    dataset = replace(shop(make_dataset, telling=True), features={})
    config = TrainingConfig(embedding_dim=8)
    magnet = build_magnet(dataset, config, torch.Generator().manual_seed(0)).eval()
    model = TrainedModel.of(magnet, dataset, 0.0)
    cold_XVMD = torch.zeros_like(model.embeddings.item_IVMD)
    assert for_new_items(Fusion(), model, dataset, dataset.valid, cold_XVMD) == Fusion()


@pytest.fixture
def some_new(make_dataset) -> tuple[TrainedModel, TrainedModel, np.ndarray]:
    dataset = shop(make_dataset, telling=True)
    model, cold_XVMD = untrained(dataset)
    model = replace(model, item_item_II=item_item_weights(dataset.train_histories))
    new_I = np.arange(ITEMS) % 10 == 3
    return model, as_if_new(model, new_I, cold_XVMD), new_I


def test_items_that_are_taken_for_new_are_in_no_history_and_near_no_item(some_new) -> None:
    model, taken, new_I = some_new
    assert model.train_weight_UI[:, new_I].nnz
    assert taken.train_weight_UI[:, new_I].nnz == 0
    assert taken.item_item_II[:, new_I].nnz == taken.item_item_II[new_I].nnz == 0
    kept = taken.train_weight_UI[:, ~new_I] - model.train_weight_UI[:, ~new_I]
    assert abs(kept).max() == 0


def test_they_are_as_popular_as_the_least_and_the_model_stays_as_it_was(some_new) -> None:
    model, taken, new_I = some_new
    before = model.magnet.log_popularity_I
    assert set(taken.magnet.log_popularity_I[new_I].tolist()) == {before.min().item()}
    assert taken.magnet.log_popularity_I[~new_I].equal(before[~new_I])
    assert not taken.magnet.known_I1[new_I].any()
    assert model.magnet.known_I1.all()
