"""Baselines that are trained: what they find, that seeds fix them, and when they stop."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from training.data.dataset import Dataset
from training.data.features import ModalityFeatures
from training.evaluate.closed_forms import BaselineError
from training.evaluate.protocol import evaluate
from training.experiments.baselines.factors import Schedule, UserItemGraph, symmetrically_normalised
from training.experiments.baselines.freedom import Freedom
from training.experiments.baselines.lightgcn import LightGCN
from training.experiments.baselines.vbpr import VBPR

SHORT = Schedule(learning_rate=2e-2, min_batch=256, max_epochs=25)
MODELS = [
    LightGCN(loss="sampled-softmax", embedding_dim=16, num_negatives=32, schedule=SHORT),
    LightGCN(loss="bpr", embedding_dim=16, schedule=SHORT),
    Freedom(dropped=0.2, content_loss=0.1, embedding_dim=16, schedule=SHORT),
    VBPR(l2=1e-3, free_dim=8, content_dim=8, schedule=replace(SHORT, max_epochs=60)),
]


def name_of(model: object) -> str:
    return f"{type(model).__name__}-{getattr(model, 'loss', '')}"


@pytest.fixture(scope="module")
def told(communities: Dataset) -> Dataset:
    """The communities, with features that tell which group an item belongs to."""
    rng = np.random.default_rng(0)
    group_IF = np.eye(4)[np.arange(60) % 4] + 0.1 * rng.standard_normal((60, 4))
    present_I = np.arange(60) != 7
    features = ModalityFeatures(
        x_IF=np.where(present_I[:, None], group_IF, 0).astype(np.float32), present_I=present_I
    )
    return replace(communities, features={"look": features})


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_communities_are_found(told: Dataset, model):
    fitted = model.fit(told, 0, math.inf)
    assert evaluate(fitted.score, told, told.test).metrics["recall@20"] > 0.95


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_a_seed_fixes_every_bit_and_another_changes_them(told: Dataset, model):
    brief = replace(model, schedule=replace(SHORT, max_epochs=2))
    first, again, other = (brief.fit(told, seed, math.inf) for seed in (3, 3, 4))
    everyone = np.arange(80)
    np.testing.assert_array_equal(first.score(everyone), again.score(everyone))
    assert (first.score(everyone) != other.score(everyone)).any()


@pytest.mark.parametrize("model", [VBPR(l2=1e-3), Freedom(dropped=0.5, content_loss=0.1)])
def test_a_model_of_content_says_that_it_needs_some(communities: Dataset, model):
    with pytest.raises(BaselineError, match="is left out: it needs content, and hand-made has"):
        model.fit(communities, 0, math.inf)


def test_content_alone_ranks_an_item_that_nobody_has(told: Dataset):
    """Item 0 is taken out of training: its neighbours in content carry it to the right users."""
    train = told.train.toarray()
    wanted = train[:, 0] > 0
    train[:, 0] = 0
    cold = replace(told, train=type(told.train)(train))
    score = Freedom(dropped=0.2, content_loss=0.1, schedule=SHORT).fit(cold, 0, math.inf).score
    score_U = score(np.arange(80))[:, 0]
    assert score_U[wanted].mean() > score_U[~wanted].mean() + score_U.std()


def test_softmax_scores_are_cosines_over_the_temperature(communities: Dataset):
    model = replace(MODELS[0], temperature=0.25, schedule=replace(SHORT, max_epochs=1))
    score = model.fit(communities, 0, math.inf).score(np.arange(80))
    assert np.abs(score).max() <= 1 / 0.25 + 1e-5


def test_training_stops_when_validation_stops_improving(communities: Dataset):
    patient = replace(SHORT, max_epochs=10_000, patience=2)
    assert replace(MODELS[0], schedule=patient).fit(communities, 0, math.inf).finished


def test_training_that_is_stopped_says_so(communities: Dataset):
    assert not MODELS[0].fit(communities, 0, -math.inf).finished


def test_propagation_is_the_mean_over_layers_of_the_normalised_graph(communities: Dataset):
    rng = np.random.default_rng(0)
    user, item = (rng.standard_normal((n, 3)).astype(np.float32) for n in (80, 60))
    dense = communities.train.toarray()
    graph = dense / np.sqrt(np.outer(dense.sum(1), dense.sum(0)))
    np.testing.assert_allclose(
        symmetrically_normalised(communities.train).toarray(), graph, rtol=1e-5
    )
    expected = (user + graph @ item + graph @ graph.T @ user) / 3
    result = UserItemGraph.of(communities.train).propagate(
        torch.from_numpy(user), torch.from_numpy(item), num_layers=2
    )
    np.testing.assert_allclose(result[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_the_same_epochs_without_validation_are_the_same_model(told: Dataset, model):
    brief = replace(model, schedule=replace(SHORT, max_epochs=4, patience=9))
    found = brief.fit(told, 0, math.inf)
    assert 0 < found.epochs <= 4
    again = brief.fit_epochs(told, 0, found.epochs)
    everyone = np.arange(80)
    np.testing.assert_array_equal(again.score(everyone), found.score(everyone))
