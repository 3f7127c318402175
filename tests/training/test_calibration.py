import numpy as np
import torch
from scipy.sparse import csr_array

from training.calibration import WEIGHTS, popularity_weight
from training.config import TrainingConfig
from training.dataset import Dataset
from training.evaluation import evaluate
from training.trained_model import TrainedModel
from training.trainer import train

SMALL = TrainingConfig(embedding_dim=8, batch_size=64, negatives=16, max_epochs=6)


def with_popularity(model: TrainedModel, weight: float) -> TrainedModel:
    with torch.no_grad():
        model.magnet.popularity_weight.fill_(weight)
    return model


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
    chosen = popularity_weight(model, communities, communities.valid)

    def ndcg(weight: float) -> float:
        scored = with_popularity(model, weight)
        return evaluate(scored.score, communities, communities.valid).metrics["ndcg@20"]

    assert ndcg(chosen) >= 0.989 * max(ndcg(weight) for weight in WEIGHTS)
