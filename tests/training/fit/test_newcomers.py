"""How much more popularity says of newcomers is what validation shows of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from training.data.dataset import Dataset
from training.evaluate.protocol import evaluate
from training.fit.calibration import Fusion
from training.fit.cold_start import NEWCOMER_POPULARITIES, for_newcomers
from training.fit.config import TrainingConfig
from training.fit.trained_model import TrainedModel, build_magnet

USERS, ITEMS = 200, 60


def chosen(dataset: Dataset, weight: float = 0.3) -> float:
    """What is chosen for a model that has not been trained: its start is that of the data."""
    config = TrainingConfig(embedding_dim=8)
    magnet = build_magnet(dataset, config, torch.Generator().manual_seed(0)).eval()
    model = TrainedModel.of(magnet, dataset, 0.0)
    return for_newcomers(Fusion(popularity=weight), model, dataset, dataset.valid).newcomers


def drawn(make_dataset, likes_UI: np.ndarray) -> Dataset:
    """A fifth of the likes is for validation."""
    valid_UI = likes_UI & (np.random.default_rng(1).random(likes_UI.shape) < 0.2)
    return make_dataset(likes_UI & ~valid_UI, valid_UI, np.zeros_like(valid_UI))


@pytest.fixture
def popular_only(make_dataset) -> Dataset:
    """All users choose alike: what one has chosen tells nothing."""
    chance_I = np.linspace(0.02, 0.6, ITEMS) ** 2
    return drawn(make_dataset, np.random.default_rng(0).random((USERS, ITEMS)) < chance_I)


@pytest.fixture
def tastes_only(make_dataset) -> Dataset:
    """All items are as popular, and one choice tells the group that a user chooses from."""
    group_UI = np.arange(USERS)[:, None] % 6 == np.arange(ITEMS) % 6
    return drawn(make_dataset, group_UI & (np.random.default_rng(0).random(group_UI.shape) < 0.7))


def test_where_all_choose_alike_popularity_says_as_much_more_as_it_may(popular_only) -> None:
    assert chosen(popular_only, weight=0.02) == NEWCOMER_POPULARITIES[-1]


def test_where_a_choice_tells_the_taste_popularity_says_no_more(tastes_only) -> None:
    assert chosen(tastes_only) == 0


def test_without_validation_it_says_no_more(popular_only) -> None:
    unseen = replace(popular_only, valid=popular_only.test)
    assert chosen(unseen) == 0


def test_scores_of_users_whom_training_did_not_know_have_it(popular_only) -> None:
    config = TrainingConfig(embedding_dim=8)
    magnet = build_magnet(popular_only, config, torch.Generator().manual_seed(0)).eval()
    magnet.popularity_weight.data.fill_(0.3)
    magnet.trust_U1[:3] = 0
    model = TrainedModel.of(magnet, popular_only, 0.0)
    users = np.arange(6)
    before = model.score(users)
    magnet.newcomer_popularity.fill_(4)
    more = model.score(users) - before
    popular_I = magnet.popularity_bias().detach().numpy()
    items_B = np.diff(popular_only.train[users].indptr)
    assert np.allclose(more[:3], 4 / items_B[:3, None] * popular_I, atol=1e-5)
    assert not more[3:].any()


def test_it_finds_more_for_newcomers(popular_only) -> None:
    config = TrainingConfig(embedding_dim=8)
    magnet = build_magnet(popular_only, config, torch.Generator().manual_seed(0)).eval()
    magnet.popularity_weight.data.fill_(0.05)
    magnet.trust_U1.fill_(0)
    first = popular_only.train_histories.first(1).recency_weighted(0.0)
    model = replace(TrainedModel.of(magnet, popular_only, 0.0), train_weight_UI=first)
    ndcg = []
    for newcomers in (0.0, 8.0):
        magnet.newcomer_popularity.fill_(newcomers)
        found = evaluate(model.score, popular_only, popular_only.valid)
        ndcg.append(found.metrics["ndcg@20"])
    assert ndcg[1] > 1.1 * ndcg[0]
