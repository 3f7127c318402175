from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from training.data.dataset import Dataset
from training.data.features import ModalityFeatures
from training.evaluate.protocol import evaluate
from training.fit.calibration import CONTENT_WEIGHTS, FREE_COST, Fusion, HeldOut
from training.fit.candidates import gather
from training.fit.config import TrainingConfig
from training.fit.item_item import item_item_weights, no_weights
from training.fit.trained_model import TrainedModel
from training.fit.trainer import train

SMALL = TrainingConfig(embedding_dim=8, batch_size=64, negatives=16, max_epochs=6)


def unsettled(model: TrainedModel) -> TrainedModel:
    """The model as it is while it trains."""
    with torch.no_grad():
        model.magnet.head.reliability_M.fill_(1)
    return model


def fused(model: TrainedModel, dataset: Dataset, target: csr_array) -> Fusion:
    model = unsettled(model)
    return HeldOut(model, dataset, target).fuse(model.magnet)


def with_features(dataset: Dataset, x_IF: np.ndarray) -> Dataset:
    present_I = np.ones(len(x_IF), dtype=np.bool_)
    features = {"text": ModalityFeatures(x_IF=x_IF.astype(np.float32), present_I=present_I)}
    return replace(dataset, features=features)


def test_pools_that_hold_every_item_give_the_ndcg_of_the_protocol(communities: Dataset) -> None:
    score_UI = np.random.default_rng(0).normal(size=communities.train.shape).astype(np.float32)
    found = gather(communities, communities.valid, lambda user_B: {"score": score_UI[user_B]})
    expected = evaluate(lambda user_B: score_UI[user_B], communities, communities.valid)
    assert found.ndcg20({"score": 1.0}) == pytest.approx(expected.metrics["ndcg@20"], abs=1e-6)


def test_what_is_settled_is_what_the_model_reaches(communities: Dataset) -> None:
    model = unsettled(train(communities, SMALL))
    model = replace(model, item_item_II=item_item_weights(communities.train_histories))
    fusion = HeldOut(model, communities, communities.valid).fuse(model.magnet)
    fusion.settle(model.magnet)
    reached = evaluate(model.score, communities, communities.valid).metrics["ndcg@20"]
    assert fusion.ndcg20 == pytest.approx(reached, abs=1e-3)
    assert Fusion.of(model.magnet).popularity == pytest.approx(fusion.popularity)


def test_popularity_that_decides_is_put_back(communities: Dataset) -> None:
    model = train(communities, SMALL)
    train_UI = communities.train.toarray() > 0
    score_I = np.where(train_UI, -1, train_UI.sum(axis=0))
    chosen_UI = np.zeros_like(train_UI, dtype=np.float32)
    chosen_UI[np.arange(len(train_UI)), score_I.argmax(axis=1)] = 1  # the most popular new item
    popular = fused(model, communities, csr_array(chosen_UI)).popularity
    assert popular > fused(model, communities, communities.valid).popularity


def test_noise_in_the_place_of_content_costs_nothing(communities: Dataset) -> None:
    noise_IF = np.random.default_rng(0).normal(size=(60, 8))
    model = unsettled(train(with_features(communities, noise_IF), SMALL))
    found = HeldOut(model, communities, communities.valid)
    fusion = found.fuse(model.magnet)
    silent = replace(fusion, content={"text": CONTENT_WEIGHTS[0]})
    without = found.routed(model.magnet).ndcg20(silent.weights())
    assert fusion.ndcg20 >= (1 - 2 * FREE_COST) * without


def test_content_that_tells_is_heard(make_dataset: Callable[..., Dataset]) -> None:
    rng = np.random.default_rng(0)
    likes = np.arange(80)[:, None] % 4 == np.arange(400) % 4
    part = rng.choice(3, size=likes.shape, p=[0.95, 0.03, 0.02])  # two choices of a hundred
    thin = make_dataset(likes & (part == 1), likes & (part == 2))
    telling = with_features(thin, np.eye(4)[np.arange(400) % 4])
    model = train(telling, SMALL)
    assert fused(model, telling, telling.valid).content["text"] > CONTENT_WEIGHTS[0]


def test_new_items_that_are_chosen_get_an_offset(new_items: Dataset) -> None:
    target_UI = new_items.valid.toarray()
    for user, target_I in enumerate(target_UI):
        target_I[60 + user % 4 :: 4] = 1  # their group's new items
    model = train(new_items, SMALL)
    assert fused(model, new_items, csr_array(target_UI)).cold > 0


def test_without_content_new_items_get_no_offset(new_items: Dataset) -> None:
    model = train(replace(new_items, features={}), SMALL)
    assert not model.magnet.known_I1.all()
    assert model.magnet.cold_offset.item() == 0


@pytest.mark.parametrize(("sign", "helps"), [(1, True), (-1, False)])
def test_an_item_item_model_gets_weight_if_it_helps(
    communities: Dataset, sign: int, helps: bool
) -> None:
    model = train(communities, SMALL)
    before_UI, next_UI = communities.train, communities.valid
    oracle_II = csr_array((sign * (before_UI.T @ next_UI)).astype(np.float32))
    fusion = fused(replace(model, item_item_II=oracle_II), communities, next_UI)
    assert (fusion.item_item > 0) == helps


def test_an_item_item_model_without_weight_is_dropped(communities: Dataset) -> None:
    model = train(communities, SMALL.model_copy(update={"neighbourhood": False}))
    assert model.item_item_II.nnz == no_weights(1).nnz == 0
    assert model.magnet.item_item_deviation.item() == 0
