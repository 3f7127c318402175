from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from training.data.dataset import Dataset
from training.evaluate.protocol import evaluate
from training.fit import calibration
from training.fit.calibration import (
    COLD_OFFSETS,
    ITEM_ITEM_WEIGHTS,
    POPULARITY_WEIGHTS,
    Weights,
    calibrate,
    calibrated,
)
from training.fit.config import TrainingConfig
from training.fit.item_item import item_item_weights, no_weights
from training.fit.trained_model import TrainedModel
from training.fit.trainer import train

SMALL = TrainingConfig(embedding_dim=8, batch_size=64, negatives=16, max_epochs=6)


def with_popularity(model: TrainedModel, weight: float) -> TrainedModel:
    with torch.no_grad():
        model.magnet.popularity_weight.fill_(weight)
    return model


def popularity_weight(model: TrainedModel, dataset: Dataset, target: csr_array) -> float:
    """Chosen without an item-item model."""
    nothing_II = no_weights(len(dataset.item_ids))
    chosen = calibrate(replace(model, item_item_II=nothing_II), nothing_II, dataset, target)
    assert chosen.item_item == 0
    return chosen.popularity


def test_popularity_that_only_misleads_is_taken_out(communities: Dataset) -> None:
    model = with_popularity(train(communities, SMALL), 0.2)
    assert popularity_weight(model, communities, communities.valid) < 0.2


def test_popularity_that_decides_is_put_back(communities: Dataset) -> None:
    model = with_popularity(train(communities, SMALL), 0.01)
    train_UI = communities.train.toarray() > 0
    score_I = np.where(train_UI, -1, train_UI.sum(axis=0))
    chosen_UI = np.zeros_like(train_UI, dtype=np.float32)
    chosen_UI[np.arange(len(train_UI)), score_I.argmax(axis=1)] = 1  # the most popular new item
    assert popularity_weight(model, communities, csr_array(chosen_UI)) > 0.01


def test_the_choice_is_about_the_best_of_all_weights(communities: Dataset) -> None:
    model = train(communities, SMALL)
    item_item_II = item_item_weights(communities.train_histories)
    chosen = calibrate(model, item_item_II, communities, communities.valid)

    def ndcg(weights: Weights) -> float:
        scored = replace(
            with_popularity(model, weights.popularity),
            item_item_II=weights.item_item * item_item_II,
        )
        return evaluate(scored.score, communities, communities.valid).metrics["ndcg@20"]

    alternatives = [
        *(Weights(chosen.item_item, weight) for weight in POPULARITY_WEIGHTS),
        *(Weights(weight, chosen.popularity) for weight in ITEM_ITEM_WEIGHTS),
    ]
    assert ndcg(chosen) >= 0.979 * max(map(ndcg, alternatives))


@pytest.mark.parametrize("wanted", [True, False])
def test_new_items_get_the_largest_offset_that_costs_nothing(
    new_items: Dataset, wanted: bool
) -> None:
    target_UI = new_items.valid.toarray()
    for user, target_I in enumerate(target_UI):
        target_I[60 + user % 4 :: 4] = wanted  # their group's new items
    target = csr_array(target_UI)
    model = train(new_items, SMALL.model_copy(update={"neighbourhood": False}))
    with torch.no_grad():
        model.magnet.cold_offset.fill_(0.4)  # as a retraining may find it
    chosen = calibrate(model, model.item_item_II, new_items, target)
    with_popularity(model, chosen.popularity)

    def ndcg(offset: float) -> float:
        with torch.no_grad():
            model.magnet.cold_offset.fill_(offset)
        return evaluate(model.score, new_items, target).metrics["ndcg@20"]

    found = {offset: ndcg(offset) for offset in COLD_OFFSETS}
    assert chosen.cold == max(o for o, x in found.items() if x >= 0.999 * max(found.values()))
    if wanted:
        assert found[chosen.cold] > 1.1 * found[0.0]
    else:
        assert chosen.cold < max(COLD_OFFSETS)


def test_without_content_new_items_get_no_offset(new_items: Dataset) -> None:
    model = train(replace(new_items, features={}), SMALL)
    assert not model.magnet.known_I1.all()
    assert model.magnet.cold_offset.item() == 0


def test_an_item_item_model_that_helps_gets_weight(communities: Dataset) -> None:
    model = train(communities, SMALL)
    before_UI, next_UI = communities.train, communities.valid
    oracle_II = csr_array((before_UI.T @ next_UI).astype(np.float32))
    assert calibrate(model, oracle_II, communities, next_UI).item_item > 0


def test_an_item_item_model_that_misleads_gets_none(communities: Dataset) -> None:
    model = train(communities, SMALL)
    before_UI, next_UI = communities.train, communities.valid
    misleading_II = csr_array(-(before_UI.T @ next_UI).astype(np.float32))
    assert calibrate(model, misleading_II, communities, next_UI).item_item == 0


def test_an_item_item_model_without_weight_is_dropped(
    communities: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = train(communities, SMALL.model_copy(update={"neighbourhood": False}))
    monkeypatch.setattr(calibration, "calibrate", lambda *_: Weights(0.0, 0.1))
    quiet = calibrated(model, communities, communities.valid, item_item=True)
    assert quiet.item_item_II.nnz == 0
    monkeypatch.setattr(calibration, "calibrate", lambda *_: Weights(2.0, 0.1))
    loud = calibrated(model, communities, communities.valid, item_item=True)
    assert loud.item_item_II.nnz > 0
    assert loud.magnet.neighbourhood_weight.item() == 2
