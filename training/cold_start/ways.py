"""The ways of serving withheld users and items, by one seed, each ready to score.

Knows how to train, encode and score; knows nothing about what is measured. Training, its stopping
included, never sees what is withheld. Letters: U users, I items, B users of a block.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from training.cold_start.outcome import Way
from training.cold_start.references import NEIGHBOURS, content_knn, popularity, random_scores
from training.cold_start.withheld import Mask, within, without_items, without_users
from training.config import TrainingConfig
from training.dataset import Dataset
from training.evaluation import ScoreFunction, evaluate
from training.inductive import InductiveEncoder
from training.progress import epochs_shown
from training.trained_model import TrainedModel
from training.trainer import train

log = logging.getLogger(__name__)

Ranking = Callable[[ScoreFunction], ScoreFunction]
"""Which items are ranked: the scores of the others become -inf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One way, ready to score, and what it took."""

    score: ScoreFunction
    settings: str = ""
    seconds: float = 0.0


def retrained(dataset: Dataset, config: TrainingConfig) -> Served:
    """Trained with everything."""
    start = time.monotonic()
    model = _trained(dataset, config, "with everything")
    return Served(score=model.score, settings=repr(config), seconds=time.monotonic() - start)


def user_ways(dataset: Dataset, user_U: Mask, config: TrainingConfig) -> dict[Way, Served]:
    """Of serving users whom the model was not trained with, from their training histories."""
    reduced = without_users(dataset, user_U)
    model = _trained(reduced, config, "without the users")

    def folded_in() -> TrainedModel:
        histories = dataset.train_histories.recency_weighted(model.recency_power)
        return replace(model, train_weight_UI=histories)

    return {
        "reencoded": _taken_in(lambda: InductiveEncoder.of(model, reduced).encode(dataset)),
        "folded_in": _taken_in(folded_in),
        **_references(reduced, config.seed),
    }


def item_ways(dataset: Dataset, item_I: Mask, config: TrainingConfig) -> dict[Way, Served]:
    """Of serving items of which the model knew the features only."""
    reduced = without_items(dataset, item_I)
    model = _trained(reduced, config, "without the items' interactions")
    return {
        "reencoded": _taken_in(lambda: InductiveEncoder.of(model, reduced).encode(dataset)),
        "content_only": Served(score=model.score),
        **_references(reduced, config.seed),
    }


def content_neighbours_way(
    dataset: Dataset, item_I: Mask, ranking: Ranking, recency_power: float
) -> Served:
    """Content neighbours, their number chosen on the withheld items' validation positives.

    A favour to this way: no other sees these positives.
    """
    reduced = without_items(dataset, item_I)
    every_U = np.ones(len(dataset.user_ids), dtype=np.bool_)
    target = within(dataset.valid, every_U, item_I)
    weight_UI = reduced.train_histories.recency_weighted(recency_power)

    def served(neighbours: int) -> Served:
        start = time.monotonic()
        score = content_knn(weight_UI, dataset.features.values(), neighbours)
        settings = f"{neighbours} neighbours by each modality"
        return Served(score=score, settings=settings, seconds=time.monotonic() - start)

    def ndcg(candidate: Served) -> float:
        found = evaluate(ranking(candidate.score), dataset, target, ks=(20,))
        return found.metrics.get("ndcg@20", 0.0)

    return max(map(served, NEIGHBOURS), key=ndcg)


def _trained(dataset: Dataset, config: TrainingConfig, what: str) -> TrainedModel:
    log.info(f"MAGNET {what}, seed {config.seed}:")
    with epochs_shown(config) as on_epoch:
        return train(dataset, config, on_epoch=on_epoch)


def _taken_in(take_in: Callable[[], TrainedModel]) -> Served:
    """A trained model, extended without training."""
    start = time.monotonic()
    model = take_in()
    return Served(score=model.score, seconds=time.monotonic() - start)


def _references(reduced: Dataset, seed: int) -> dict[Way, Served]:
    return {
        "popularity": Served(score=popularity(reduced.train, seed)),
        "random": Served(score=random_scores(len(reduced.item_ids), seed)),
    }
