"""The new model: trained, from the live model's weights where they fit, and measured beside it.

Knows data sets and trained models; knows nothing about files, Redis or gates.
"""

import logging
import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from model.artifact.manifest import ArtifactManifest
from model.network.magnet import Magnet
from training.cli.progress import epochs_shown
from training.data.dataset import Dataset
from training.evaluate.protocol import Evaluation, evaluate, only_users, popularity_scores
from training.fit.inductive import InductiveEncoder
from training.fit.trained_model import TrainedModel
from training.fit.trainer import train
from training.retrain.incumbent import Champion, WeightsError
from training.retrain.ledger import ChangedList
from training.retrain.settings import RetrainConfig

log = logging.getLogger(__name__)

_EXAMPLES, _LIST = 5, 10
"""Users who are shown in a report, and how much of their lists is compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A new model."""

    model: TrainedModel
    warm: bool
    why_cold: str
    """Why it did not start from the live model; empty if it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everybody on the same newest positives."""

    challenger: Evaluation
    champion: Evaluation | None
    popular: Evaluation


def train_challenger(dataset: Dataset, config: RetrainConfig, champion: Champion) -> Trained:
    """Train; TrainingError if that cannot be done."""
    start, why_cold = _start(dataset, config, champion)
    training = config.training
    if start is None:
        log.info(f"training from scratch: {why_cold}")
    else:
        log.info(f"going on from the weights of {champion.version}")
        warm = config.warm_start
        training = training.model_copy(
            update={"max_epochs": warm.max_epochs, "patience": warm.patience}
        )
    with epochs_shown(training) as on_epoch:
        model = train(dataset, training, on_epoch=on_epoch, start=start)
    return Trained(model=model, warm=start is not None, why_cold=why_cold)


def _start(
    dataset: Dataset, config: RetrainConfig, champion: Champion
) -> tuple[Magnet | None, str]:
    if not config.warm_start.enabled:
        return None, "warm_start.enabled is false"
    if champion.weights is None:
        return None, champion.why_not
    try:
        magnet = champion.weights.on(dataset)
    except WeightsError as error:
        return None, str(error)
    if magnet.config != config.training.magnet(magnet.config.modalities):
        return None, "the settings of the model's shape have changed"
    return magnet, ""


def measure_all(dataset: Dataset, model: TrainedModel, champion: Champion) -> Measured:
    """Challenger, champion and the most popular items on the test part.

    The champion's weights meet the same training part as the challenger's: the same graph, the
    same histories. What differs is what they have learnt.
    """
    measured = None
    if champion.weights is not None:
        try:
            magnet = champion.weights.on(dataset)
            trained = TrainedModel.of(magnet, dataset, champion.weights.recency_power)
            measured = evaluate(trained.score, dataset, dataset.test)
        except WeightsError as error:
            log.info(f"the live model is not compared: {error}")
    return Measured(
        challenger=evaluate(model.score, dataset, dataset.test),
        champion=measured,
        popular=evaluate(popularity_scores(dataset.train), dataset, dataset.test),
    )


def with_everything(model: TrainedModel, dataset: Dataset) -> tuple[TrainedModel, Dataset]:
    """The same weights with the held-out parts in the graph and in everybody's history.

    They have measured the model; now it would be a loss to withhold them from it. Nothing is
    trained on them, so they can measure the next model too.
    """
    parts = csr_array(dataset.train + dataset.valid + dataset.test)
    nothing = only_users(dataset.train, np.empty(0, dtype=np.int64))
    everything = replace(
        dataset, train=parts, valid=nothing, test=nothing, train_histories=dataset.histories
    )
    return InductiveEncoder.of(model, dataset).encode(everything), everything


def utilisation(manifest: ArtifactManifest) -> float:
    """Entropy of the experts' usual weights over log K: 1 if all are used alike."""
    share_K = [expert.usual_weight for expert in manifest.experts if expert.usual_weight > 0]
    num_experts = len(manifest.experts)
    if num_experts == 1:
        return 1.0
    return -sum(share * math.log(share) for share in share_K) / math.log(num_experts)


def changed_lists(measured: Measured, dataset: Dataset) -> list[ChangedList]:
    """Some users whose first ten change, drawn by a fixed seed; none without a champion."""
    if measured.champion is None:
        return []
    users = measured.challenger.users
    found = []
    for row in np.random.default_rng(0).permutation(len(users)):
        before, after = (
            x.top_UK[row, :_LIST].tolist() for x in (measured.champion, measured.challenger)
        )
        gone = [_name(dataset, item) for item in before if item not in after]
        came = [_name(dataset, item) for item in after if item not in before]
        if gone:
            found.append(ChangedList(user_id=dataset.user_ids[users[row]], gone=gone, came=came))
        if len(found) == _EXAMPLES:
            break
    return found


def _name(dataset: Dataset, item: int) -> str:
    return str(dataset.item_metadata[item].get("title") or dataset.item_ids[item])
