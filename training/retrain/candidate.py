"""The candidate: trained, from the live model's weights where they fit, and measured beside it."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from model.artifact.manifest import ArtifactManifest
from model.network.magnet import Magnet
from training.cli.progress import NO_LISTENER, Listener, watched, watched_to_the_end
from training.cluster.training import train_together
from training.data.dataset import Dataset
from training.evaluate.protocol import Evaluation, evaluate, popularity_scores
from training.fit.distributed import ALONE, Processes
from training.fit.final_model import BOTH, train_on_all
from training.fit.trained_model import TrainedModel
from training.fit.trainer import train
from training.retrain.live_model import LiveModel, WeightsError
from training.retrain.runs import ChangedList
from training.retrain.settings import RetrainConfig

log = logging.getLogger(__name__)

_EXAMPLES, _LIST = 5, 10
"""Users who are shown in a report, and how many items of their lists are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The new model."""

    model: TrainedModel
    """The model that validation chose; it has not seen the test part."""
    served: TrainedModel
    """What becomes of `model` when it learns from the held-out parts too."""
    why_cold: str
    """Why it did not start from the live model's weights; empty if it did."""


def train_candidate(
    dataset: Dataset,
    config: RetrainConfig,
    live: LiveModel,
    listener: Listener = NO_LISTENER,
    processes: Processes = ALONE,
    checkpoints: Path | None = None,
) -> Candidate:
    """Train, and train what is served.

    Args:
        dataset: the training set.
        config: of the retraining.
        live: whose weights it starts from where they fit.
        listener: who is told how it goes.
        processes: all that train together, each with a call of its own.
        checkpoints: the leader's folder for them; None to keep none.

    Raises:
        TrainingError: it cannot be trained.
    """
    start, why_cold = _start(dataset, config, live)
    training = config.training
    if start is None:
        log.info(f"training from scratch: {why_cold}")
    else:
        log.info(f"going on from the weights of {live.version}")
        warm = config.warm_start
        training = training.model_copy(
            update={"max_epochs": warm.max_epochs, "patience": warm.patience}
        )
    found_at, served_at = (
        None if checkpoints is None else checkpoints / f"{name}.checkpoint"
        for name in ("candidate", "served")
    )
    with watched(training, listener) as watch:
        found = train(
            dataset, training, checkpoint=found_at, watch=watch, processes=processes, start=start
        )
    start, _ = _start(dataset.merged(*BOTH), config, live)
    watch = watched_to_the_end(config.training, found, listener)
    served = train_on_all(
        dataset,
        config.training,
        found,
        checkpoint=served_at,
        watch=watch,
        processes=processes,
        start=start,
    )
    return Candidate(model=found, served=served, why_cold=why_cold)


def train_candidate_at(
    address: str, dataset: Dataset, config: RetrainConfig, live: LiveModel, folder: Path
) -> Candidate:
    """As `train_candidate`, on a Ray cluster.

    Args:
        address: of the cluster.
        dataset: the training set.
        config: of the retraining.
        live: whose weights it starts from where they fit.
        folder: gets the checkpoints, on a disk that every machine of the cluster sees.
    """
    work = partial(_train_share, dataset, config, live, folder)
    trained = train_together(address, work, folder / "candidate", config.training.device)
    # Ours, from the leader. On CPUs: the leader's GPU is not here.
    candidate: Candidate = torch.load(BytesIO(trained), map_location="cpu", weights_only=False)
    return candidate


def _train_share(
    dataset: Dataset, config: RetrainConfig, live: LiveModel, folder: Path, processes: Processes
) -> bytes:
    checkpoints = folder if processes.leads else None
    trained = train_candidate(dataset, config, live, processes=processes, checkpoints=checkpoints)
    to = BytesIO()
    if processes.leads:
        torch.save(trained, to)
    return to.getvalue()


def _start(dataset: Dataset, config: RetrainConfig, live: LiveModel) -> tuple[Magnet | None, str]:
    """The network to start from, or None and the reason."""
    if not config.warm_start.enabled:
        return None, "warm_start.enabled is false"
    if live.weights is None:
        return None, live.why_not
    try:
        magnet = live.weights.on(dataset)
    except WeightsError as error:
        return None, str(error)
    if magnet.config != config.training.magnet(magnet.config.modalities):
        return None, "the settings of the model's shape have changed"
    return magnet, ""


def measure_all(dataset: Dataset, model: TrainedModel, live: LiveModel) -> dict[str, Evaluation]:
    """Candidate, live model and the most popular items on the test part.

    Both models see the same training part: the same graph, the same histories. Only their weights
    differ.

    Returns:
        By the names of `RunRecord.metrics`; no `champion` if the live model cannot be compared.
    """
    measured = {"challenger": evaluate(model.score, dataset, dataset.test)}
    if live.weights is not None:
        try:
            magnet = live.weights.on(dataset)
            trained = TrainedModel.of(magnet, dataset, live.weights.recency_power)
            measured["champion"] = evaluate(trained.score, dataset, dataset.test)
        except WeightsError as error:
            log.info(f"the live model is not compared: {error}")
    measured["popular"] = evaluate(popularity_scores(dataset.train), dataset, dataset.test)
    return measured


def utilisation(manifest: ArtifactManifest) -> float:
    """Entropy of the experts' usual weights over log K: 1 if all are used equally."""
    share_K = [expert.usual_weight for expert in manifest.experts if expert.usual_weight > 0]
    num_experts = len(manifest.experts)
    if num_experts == 1:
        return 1.0
    return -sum(share * math.log(share) for share in share_K) / math.log(num_experts)


def changed_lists(measured: Mapping[str, Evaluation], dataset: Dataset) -> list[ChangedList]:
    """Some users whose first ten change, drawn by a fixed seed; none without a live model."""
    new, live = measured["challenger"], measured.get("champion")
    if live is None:
        return []
    found = []
    for row in np.random.default_rng(0).permutation(len(new.users)):
        before, after = (x.top_UK[row, :_LIST].tolist() for x in (live, new))
        gone = [_name(dataset, item) for item in before if item not in after]
        came = [_name(dataset, item) for item in after if item not in before]
        if gone:
            user_id = dataset.user_ids[new.users[row]]
            found.append(ChangedList(user_id=user_id, gone=gone, came=came))
        if len(found) == _EXAMPLES:
            break
    return found


def _name(dataset: Dataset, item: int) -> str:
    return str(dataset.item_metadata[item].get("title") or dataset.item_ids[item])
