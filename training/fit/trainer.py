"""Trains one MAGNET: epochs, the entropy schedule, early stopping on validation, checkpoints.

It never looks at the test part of a data set. Letters: U users, I items, K experts, T loss terms.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from model.artifact.manifest import EpochRecord
from model.network.encoder import GraphEncoder
from model.network.magnet import Magnet
from model.network.schedule import EntropySchedule
from training.data.dataset import Dataset
from training.data.files import write_durably
from training.errors import ExplainedError
from training.evaluate.protocol import evaluate, only_users, some_users
from training.fit.calibration import calibrated
from training.fit.config import TrainingConfig
from training.fit.distributed import ALONE, Processes, choose_device
from training.fit.early import NOBODY, HandOvers, Watch
from training.fit.graphs import build_graph
from training.fit.objective import add_gradients
from training.fit.sampler import Sampler
from training.fit.trained_model import TrainedModel, build_magnet

MAX_VALIDATION_USERS = 4096
"""Most users of validation; more would cost much time and change little."""
STAGE_TOLERANCE = 0.01
"""Relative loss of NDCG@20 that is within its noise."""


class TrainingError(ExplainedError):
    """Training cannot go on; the message says where it stopped and what to do."""


class CheckpointError(ExplainedError):
    """A checkpoint is damaged, or data or settings have changed since it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything that a run needs to continue."""

    fingerprint: str
    """Data checksum and settings; a checkpoint resumes no other run."""
    magnet: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Any]
    generator: Tensor
    schedule: dict[str, Any]
    history: list[dict[str, Any]]
    best_epoch: int
    best_state: dict[str, Tensor]


def train(
    dataset: Dataset,
    config: TrainingConfig,
    *,
    checkpoint: Path | None = None,
    watch: Watch = NOBODY,
    processes: Processes = ALONE,
    start: Magnet | None = None,
) -> TrainedModel:
    """Train until validation NDCG@20 stops improving and return the best epoch.

    Args:
        dataset: positives and features.
        config: hyperparameters; equal seeds give equal results on one machine and thread count.
        checkpoint: where to save after epochs and to resume from, if it fits data and config.
        watch: who is told of epochs and gets early models; training is the same with and without.
        processes: all that train together, each with a call of its own; the leader's checkpoint
            counts.
        start: a trained model of the data set's shape to go on from, at once in the second stage;
            None for a fresh one.

    Raises:
        TrainingError: the loss is not finite, or there is nothing to train on or to validate with.
        DeviceError: `config.device` is not available.
        ProcessesError: the processes have different data or settings, or one of them has ended.
        CheckpointError: `checkpoint` cannot be used.
    """
    trainable = len(dataset.train_histories.predictable())
    if trainable == 0 or dataset.valid.nnz == 0:
        raise TrainingError(
            f"{dataset.name} has {trainable} training positives with a history to predict them "
            f"from and {dataset.valid.nnz} validation positives; both are needed (users with two "
            "positives or more; check --min-rating and --split)"
        )
    return _finished(_Run(dataset, config, processes, start), checkpoint, watch)


def train_to_the_end(
    dataset: Dataset,
    config: TrainingConfig,
    *,
    checkpoint: Path | None = None,
    watch: Watch = NOBODY,
    processes: Processes = ALONE,
    start: Magnet | None = None,
) -> TrainedModel:
    """Train all of `max_epochs` and return the last one, which nothing has validated or calibrated.

    As `train`, on a data set whose validation part is empty. `valid_ndcg20` of the records is 0.
    """
    assert dataset.valid.nnz == 0
    return _finished(_Run(dataset, config, processes, start), checkpoint, watch)


def _finished(run: "_Run", checkpoint: Path | None, watch: Watch) -> TrainedModel:
    """The result of a run, from the start or from its checkpoint."""
    processes = run.processes
    processes.require_equal(run.fingerprint, "data or settings")
    saved = None
    if checkpoint is not None and checkpoint.exists():
        saved = _load(checkpoint, run.fingerprint)
    saved = processes.from_leader(saved)
    if saved is not None:
        run.restore(saved)
    early = None
    if watch.on_better is not None and run.validates:
        early = HandOvers(watch.on_better, run.dataset, run.valid)
    while not run.finished:
        if early is not None:
            early.offer(run.best_epoch, run.best_so_far)
        watch.on_epoch(run.epoch())
        if checkpoint is not None:
            write_durably(checkpoint, partial(torch.save, asdict(run.snapshot())))
    return run.result()


def best_so_far(dataset: Dataset, config: TrainingConfig, checkpoint: Path) -> TrainedModel:
    """The best epoch of a run that was stopped or still goes on; raises as `train` does."""
    run = _Run(dataset, config, ALONE, None)
    run.restore(_load(checkpoint, run.fingerprint))
    return run.result()


def _load(path: Path, fingerprint: str) -> Checkpoint:
    """The checkpoint, if it is of the run with this fingerprint."""
    advice = f"delete {path} to start over"
    try:
        checkpoint = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, EOFError, RuntimeError, TypeError, UnpicklingError) as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {advice}") from error
    if checkpoint.fingerprint != fingerprint:
        raise CheckpointError(
            f"checkpoint {path} belongs to other data or settings; {advice}, or use another --out"
        )
    return checkpoint


def _warmed_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Moving average over about the last quarter of all steps, at most over 1 / (1 - decay).

    Polynomial-decay averaging (arXiv:1212.1824, eta = 2), which forgets the start.
    """

    def average(averaged: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        warmed = min(decay, (1 + int(steps)) / (4 + int(steps)))
        return torch.lerp(current, averaged, warmed)

    return average


class _Run:
    """State of a run between epochs; its checkpoint has all of it."""

    def __init__(
        self, dataset: Dataset, config: TrainingConfig, processes: Processes, start: Magnet | None
    ) -> None:
        if start is not None:
            config = config.model_copy(update={"stage_switch": 0})
        self.dataset, self.config, self.processes = dataset, config, processes
        self.device = choose_device(config.device, processes)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.magnet = (start or build_magnet(dataset, config, self.generator)).to(self.device)
        processes.copy_from_leader([*self.magnet.parameters(), *self.magnet.buffers()])
        self.valid = some_users(dataset.valid, MAX_VALIDATION_USERS)
        self.sampler = Sampler(
            config=config,
            histories=dataset.train_histories,
            has_content=bool(dataset.features),
            generator=self.generator,
            device=self.device,
            processes=processes,
        )
        self.train_weight_UI = dataset.train_histories.recency_weighted(self.sampler.recency_power)
        graph = build_graph(self.train_weight_UI, dataset.features.values())
        self.encoder = GraphEncoder(self.magnet, graph.to(self.device))
        router = list(self.magnet.head.parameters())
        in_router = {id(parameter) for parameter in router}
        encoders = [p for p in self.magnet.parameters() if id(p) not in in_router]
        at_once = config.stage_switch == 0
        first_rate = config.settled_learning_rate if at_once else config.learning_rate
        groups: list[dict[str, Any]] = [
            {"params": encoders, "lr": first_rate},
            {"params": router, "lr": config.router_learning_rate},
        ]
        self.optimizer = torch.optim.Adam(groups)
        self.average = AveragedModel(self.magnet, avg_fn=_warmed_average(config.average_decay))
        self.schedule = EntropySchedule(
            coverage_weight=config.coverage_weight,
            specialisation_weight=config.specialisation_weight,
            switch=config.stage_switch,
        )
        if start is not None:
            self.schedule.ramp = 1  # its router was trained with the full gate already
        self.history: list[EpochRecord] = []
        self.best_epoch = 0
        self.best_state: dict[str, Tensor] = {}

    @property
    def fingerprint(self) -> str:
        """What a checkpoint must have in common with this run."""
        return f"{self.dataset.sha256}:{self.config.model_dump_json(exclude={'device'})}"

    @property
    def validates(self) -> bool:
        """Whether anything is held out."""
        return self.valid.nnz > 0

    @property
    def finished(self) -> bool:
        """The epochs are used up, or validation has stopped improving in the last stage."""
        done = len(self.history)
        last_stage = 0 if self.config.stage_switch == "never" else self.schedule.trigger_epoch
        since_best = done - max(self.best_epoch, done if last_stage is None else last_stage)
        return done >= self.config.max_epochs or since_best >= self.config.patience

    def epoch(self) -> EpochRecord:
        """Train one epoch and evaluate on validation."""
        start = time.monotonic()
        stage, weights = self.schedule.stage, self.schedule.weights()
        self.magnet.train()
        share_K = torch.zeros(self.magnet.head.num_experts, device=self.device)
        seen: list[list[float]] = []
        self.encoder.refresh()
        for batch in self.sampler.epoch():
            self.optimizer.zero_grad()
            embeddings = self.encoder.embed(*batch.wanted)
            objective = add_gradients(
                self.magnet, embeddings, batch, self.config, weights, self.processes
            )
            term_T = self.processes.mean(torch.stack([*objective.terms.values()])).tolist()
            loss = sum(term_T)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss became {loss} in epoch {len(self.history) + 1}, step "
                    f"{len(seen) + 1}; nothing was exported. Try a lower learning_rate (now "
                    f"{self.config.learning_rate:g}) and check the features for extreme values"
                )
            self.processes.average_gradients(self.magnet.parameters())
            self._decay_router()
            self.optimizer.step()
            self.average.update_parameters(self.magnet)
            seen.append([objective.coverage_entropy, objective.pair_entropy, *term_T])
            share_K += objective.share_K
        mean = self.processes.mean
        coverage, pair, *term_T = mean(torch.tensor(seen, dtype=torch.float64).mean(0)).tolist()
        self.schedule.observe(coverage, sum(term_T))
        record = EpochRecord(
            epoch=len(self.history) + 1,
            stage=stage,
            loss=sum(term_T),
            loss_terms=dict(zip(objective.terms, term_T, strict=True)),
            valid_ndcg20=self._validate() if self.validates else 0.0,
            coverage_entropy=coverage,
            pair_entropy=pair,
            expert_shares=mean(share_K / len(seen)).tolist(),
            seconds=time.monotonic() - start,
        )
        self._remember(record)
        if self._coverage_has_stalled:
            self.schedule.begin()
        if self.schedule.trigger_epoch == record.epoch:
            self._begin_specialisation()
        return record

    @property
    def _coverage_has_stalled(self) -> bool:
        """Coverage has not settled, but validation has stopped improving (ours)."""
        waiting = self.schedule.trigger_epoch is None and self.schedule.switch == "entropy"
        return waiting and len(self.history) - self.best_epoch >= self.config.patience

    def _begin_specialisation(self) -> None:
        """Go on from the best epoch of coverage (ours): the epochs after it only overfitted."""
        self.magnet.load_state_dict(self.best_state)
        self._averaged().load_state_dict(self.best_state)
        self.optimizer.param_groups[0]["lr"] = self.config.settled_learning_rate

    def _decay_router(self) -> None:
        """Decoupled decay of the router's evidence weights towards an even mixture."""
        keep = 1 - self.config.router_learning_rate * self.config.router_weight_decay
        with torch.no_grad():
            for parameter in self.magnet.head.router.parameters():
                parameter.mul_(keep)

    def _remember(self, record: EpochRecord) -> None:
        """Keep the best epoch; without validation, the last one.

        An epoch of specialisation, which trains with the serving gate, wins against one of coverage
        that is better by no more than `STAGE_TOLERANCE`.
        """
        self.history.append(record)
        best = self.history[self.best_epoch - 1] if self.best_epoch else None
        handicap = 1 - STAGE_TOLERANCE if best is not None and best.stage != record.stage else 1
        better = best is None or record.valid_ndcg20 > handicap * best.valid_ndcg20
        if better or not self.validates:
            self.best_epoch = record.epoch
            self.best_state = copy.deepcopy(self._averaged().state_dict())

    def _averaged(self) -> Magnet:
        """The moving average of the weights, which is validated and kept."""
        averaged = self.average.module
        assert isinstance(averaged, Magnet)
        return averaged.eval()

    def _trained(self, magnet: Magnet) -> TrainedModel:
        return replace(
            TrainedModel.encoded(
                self.encoder.of(magnet), self.train_weight_UI, self.sampler.recency_power
            ),
            history=tuple(self.history),
            best_epoch=self.best_epoch,
            trigger_epoch=self.schedule.trigger_epoch,
        )

    def _validate(self) -> float:
        own = self.processes.share(np.flatnonzero(np.diff(self.valid.indptr)))
        score = self._trained(self._averaged()).score
        result = evaluate(score, self.dataset, only_users(self.valid, own), (20,))
        return self.processes.pooled_mean(result.per_user["ndcg@20"])

    def result(self) -> TrainedModel:
        """The best epoch's model, calibrated on validation if there is one."""
        self._averaged().load_state_dict(self.best_state)
        return self._calibrated(self._averaged())

    def best_so_far(self) -> TrainedModel:
        """A copy of what `result` would be now; before the first epoch, of the start."""
        magnet = copy.deepcopy(self._averaged())
        if self.best_epoch:
            magnet.load_state_dict(self.best_state)
        return replace(self._calibrated(magnet), early=True)

    def _calibrated(self, magnet: Magnet) -> TrainedModel:
        if not self.validates:
            return self._trained(magnet)
        return calibrated(
            self._trained(magnet), self.dataset, self.valid, item_item=self.config.neighbourhood
        )

    def snapshot(self) -> Checkpoint:
        """Everything that `restore` needs."""
        return Checkpoint(
            fingerprint=self.fingerprint,
            magnet=self.magnet.state_dict(),
            average=self.average.state_dict(),
            optimizer=self.optimizer.state_dict(),
            generator=self.generator.get_state(),
            schedule=asdict(self.schedule),
            history=[record.model_dump() for record in self.history],
            best_epoch=self.best_epoch,
            best_state=self.best_state,
        )

    def restore(self, saved: Checkpoint) -> None:
        """Continue from a checkpoint of the same run."""
        self.magnet.load_state_dict(saved.magnet)
        self.average.load_state_dict(saved.average)
        self.optimizer.load_state_dict(saved.optimizer)
        self.generator.set_state(saved.generator)
        self.schedule = EntropySchedule(**saved.schedule)
        self.history = [EpochRecord.model_validate(record) for record in saved.history]
        self.best_epoch, self.best_state = saved.best_epoch, saved.best_state
