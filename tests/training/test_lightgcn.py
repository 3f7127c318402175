from dataclasses import replace

import numpy as np
import pytest

from training.dataset import Dataset
from training.evaluation import evaluate
from training.lightgcn import GRIDS, LightGCNConfig, train_lightgcn, tune_lightgcn

SMALL = {"embedding_dim": 16, "batch_size": 256, "negatives": 32, "max_epochs": 25}
CONFIGS = [
    LightGCNConfig(loss="sampled-softmax", **SMALL),
    LightGCNConfig(loss="bpr", learning_rate=2e-2, **SMALL),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.loss)
def test_communities_are_found(communities: Dataset, config: LightGCNConfig):
    model = train_lightgcn(communities, config, seed=0)
    result = evaluate(model.score, communities, communities.test)
    assert result.metrics["recall@20"] > 0.95
    valid = evaluate(model.score, communities, communities.valid)
    assert valid.metrics["ndcg@20"] == pytest.approx(model.valid_ndcg20)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.loss)
def test_a_seed_fixes_every_bit_and_another_changes_them(
    communities: Dataset, config: LightGCNConfig
):
    brief = replace(config, max_epochs=2)
    first, again, other = (train_lightgcn(communities, brief, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.item_ID, again.item_ID)
    assert (first.item_ID != other.item_ID).any()


def test_softmax_scores_are_cosines_over_the_temperature(communities: Dataset):
    config = replace(CONFIGS[0], max_epochs=1, temperature=0.25)
    score = train_lightgcn(communities, config, seed=0).score(np.arange(80))
    assert np.abs(score).max() <= 1 / 0.25 + 1e-5


def test_training_stops_when_validation_stops_improving(communities: Dataset):
    config = replace(CONFIGS[0], max_epochs=200, patience=2)
    model = train_lightgcn(communities, config, seed=0)
    assert model.best_epoch < 150


def test_validation_chooses_the_settings(communities: Dataset):
    useless = replace(CONFIGS[0], learning_rate=1e-9, max_epochs=1)
    useful = replace(CONFIGS[0], max_epochs=10)
    assert tune_lightgcn([useless, useful], communities, seed=0).config == useful


def test_no_setting_stands_twice_in_a_grid():
    for grid in GRIDS.values():
        assert len(set(grid)) == len(grid)
