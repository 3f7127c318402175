"""Trains one MAGNET: epochs, the entropy schedule, early stopping on validation, checkpoints.

It never looks at the test part of a data set. Letters: U users, I items, K experts, T loss terms.
"""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from model.artifact.manifest import EpochRecord
from model.network.encoder import DualViewEmbeddings, GraphEncoder
from model.network.graph import SparseOperator
from model.network.magnet import Magnet
from model.network.schedule import EntropySchedule, Stage
from training.data.dataset import Dataset
from training.data.files import write_durably
from training.errors import ExplainedError
from training.evaluate.protocol import some_users
from training.fit.calibration import PARSIMONY, Fusion, HeldOut
from training.fit.cold_start import for_new_items, for_newcomers
from training.fit.config import TrainingConfig
from training.fit.distributed import ALONE, Processes, choose_device, return_buffers
from training.fit.early import NOBODY, HandOvers, Watch
from training.fit.graphs import Walks, build_graph, sparse_operator
from training.fit.item_item import item_item_weights, no_weights
from training.fit.objective import encoder_terms, routing_objective
from training.fit.sampler import Batch, Sampler
from training.fit.trained_model import TrainedModel, build_magnet, user_trust

MAX_VALIDATION_USERS = 2048
"""Most users of validation; more would cost much time and change little."""
REFRESH_STEPS = 64
"""Steps of the encoders between two propagations of what they take as constant."""
ROUTER_STEPS = 16
"""Most steps of an epoch of the router, which has few parameters to learn."""
ROUTER_BATCH = 1024
"""Most positives of such a step; every one is routed with its hardest negatives."""
COHERENCE_RATE = 0.5
"""What the router makes of how coherent a history is learns at so much of the encoders' rate: it
holds for a user, and training positives tell the truth about it (docs/adr/0060)."""
GAIN = 0.002
"""Relative gain of validation NDCG@20 below which an epoch is no better than the best."""
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
    best_ndcg20: float
    fusion: dict[str, Any] | None
    encoder_epochs: int | None


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
        start: a trained model of the data set's shape to go on from, its router at once in the
            second stage; None for a fresh one.

    Raises:
        TrainingError: the loss is not finite, or there is nothing to train on or to validate with.
        DeviceError: `config.device` is not available.
        ProcessesError: the processes have different data or settings, or one of them has ended.
        CheckpointError: `checkpoint` cannot be used.
    """
    trainable = int(dataset.train_histories.predictable_U.sum())
    if trainable == 0 or dataset.valid.nnz == 0:
        raise TrainingError(
            f"{dataset.name} has {trainable} training positives with a history to predict them "
            f"from and {dataset.valid.nnz} validation positives; both are needed (users with three "
            "positives or more; check --min-rating and --split)"
        )
    return _finished(_Run(dataset, config, processes, start), checkpoint, watch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What validation has settled for a training that has none."""

    encoder_epochs: int
    fusion: Fusion
    user_part: bool
    """Whether users have free parts."""


def train_to_the_end(  # noqa: PLR0913 - as `train`, and the plan
    dataset: Dataset,
    config: TrainingConfig,
    plan: Plan,
    *,
    checkpoint: Path | None = None,
    watch: Watch = NOBODY,
    processes: Processes = ALONE,
    start: Magnet | None = None,
) -> TrainedModel:
    """Train all of `max_epochs` as planned and return the last one, which nothing has validated.

    As `train`, on a data set whose validation part is empty. `valid_ndcg20` of the records is 0.
    """
    assert dataset.valid.nnz == 0
    return _finished(_Run(dataset, config, processes, start, plan), checkpoint, watch)


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
    watch.on_fusion()
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


def moving_average(magnet: Magnet, decay: float) -> AveragedModel:
    """Moving average over about the last quarter of all steps, at most over 1 / (1 - decay).

    Polynomial-decay averaging (arXiv:1212.1824, eta = 2), which forgets the start.
    """

    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], steps: Tensor | int) -> None:
        warmed = min(decay, (1 + int(steps)) / (4 + int(steps)))
        for mean, now in zip(averaged, current, strict=True):
            mean.lerp_(now, 1 - warmed)

    return AveragedModel(magnet, multi_avg_fn=average)


class _Run:
    """State of a run between epochs; its checkpoint has all of it."""

    def __init__(
        self,
        dataset: Dataset,
        config: TrainingConfig,
        processes: Processes,
        start: Magnet | None,
        plan: Plan | None = None,
    ) -> None:
        if start is not None:
            config = config.model_copy(update={"stage_switch": 0})
        self.dataset, self.config, self.processes, self.plan = dataset, config, processes, plan
        self.device = choose_device(config.device, processes)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.magnet = (start or build_magnet(dataset, config, self.generator)).to(self.device)
        with torch.no_grad():
            self.magnet.head.reliability_M.fill_(1)  # settled anew when training ends
            self.magnet.trust_U1.copy_(user_trust(dataset, config.user_trust).unsqueeze(1))
        processes.copy_from_leader([*self.magnet.parameters(), *self.magnet.buffers()])
        self.valid = some_users(dataset.valid, MAX_VALIDATION_USERS)
        self.few_valid = some_users(dataset.valid, MAX_VALIDATION_USERS // 2)
        self.sampler = Sampler(
            config=config,
            histories=dataset.train_histories,
            has_content=bool(dataset.features),
            generator=self.generator,
            device=self.device,
            processes=processes,
        )
        self.train_weight_UI = dataset.train_histories.recency_weighted(self.sampler.recency_power)
        sampled = config.samples(len(dataset.train_histories.item_P))
        self.walks = Walks.over(self.train_weight_UI) if sampled else None
        graph = build_graph(self.train_weight_UI, dataset.features.values())
        self.encoder = GraphEncoder(self.magnet, graph.to(self.device))
        self.item_item_II = (
            item_item_weights(dataset.train_histories)
            if config.neighbourhood
            else no_weights(len(dataset.item_ids))
        )
        rate = config.learning_rate if start is None else config.settled_learning_rate
        head = self.magnet.head
        coherence, templates = head.router.coherence_JG, list(head.templates.parameters())
        router = [p for p in head.router.parameters() if p is not coherence]
        in_head = {id(parameter) for parameter in head.parameters()}
        encoders = [p for p in self.magnet.parameters() if id(p) not in in_head]
        groups: list[dict[str, Any]] = [
            {"params": encoders, "lr": rate},
            {"params": templates, "lr": rate},
            {"params": [coherence], "lr": COHERENCE_RATE * rate},
            {"params": router, "lr": config.router_learning_rate},
        ]
        self.optimizer = torch.optim.Adam(groups, fused=True)
        self.average = moving_average(self.magnet, config.average_decay)
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
        self.best_ndcg20 = -1.0
        self.encoder_epochs: int | None = None
        self._frozen: DualViewEmbeddings | None = None
        self._held_out: HeldOut | None = None
        self.fusion: Fusion | None = None

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
        if done >= self.config.max_epochs:
            return True
        if self.encoder_epochs is None:
            return False
        started = self.encoder_epochs + (self.schedule.trigger_epoch or 0)
        settled = self.schedule.trigger_epoch is not None or self.config.stage_switch == "never"
        patience = self.config.patience + (self.schedule.ramp if settled else 0)
        return settled and done - max(started, self.best_epoch) >= patience

    def epoch(self) -> EpochRecord:
        """Train one epoch and evaluate on validation."""
        self.magnet.train()
        if self.encoder_epochs is None:
            record = self._encoder_epoch()
            self.history.append(record)
            if self._encoders_are_done:
                self._begin_routing()
        else:
            record = self._router_epoch()
            self._remember(record)
            if self._coverage_has_stalled:
                self.schedule.begin()
        return record

    @property
    def _encoders_are_done(self) -> bool:
        """They have stopped improving or have had half of the epochs, or it was planned so."""
        done = len(self.history)
        if self.plan is not None:
            return done >= self.plan.encoder_epochs
        stalled = done - self.best_epoch >= self.config.patience
        return stalled or 2 * done >= self.config.max_epochs

    def _encoder_epoch(self) -> EpochRecord:
        """Encoders learn; validation tells how good their best fusion is."""
        start = time.monotonic()
        seen: list[Tensor] = []
        for batch in self.sampler.epoch():
            if len(seen) % REFRESH_STEPS == 0:
                self.encoder.refresh(self._sampled_layer())
            self.optimizer.zero_grad()
            embeddings = self.encoder.embed(batch.item_X, batch.cold_Y)
            terms = encoder_terms(self.magnet, embeddings, batch, self.config)
            torch.stack([*terms.values()]).sum().backward()
            seen.append(self._step(terms, len(seen)))
        return_buffers()
        ndcg20 = 0.0
        if self.validates:
            held_out = HeldOut(self._trained(self._averaged()), self.dataset, self.few_valid)
            ndcg20 = self._fused(held_out).ndcg20
        if ndcg20 > (1 + GAIN) * self.best_ndcg20 or not self.validates:
            self.best_epoch, self.best_ndcg20 = len(self.history) + 1, ndcg20
            self.best_state = copy.deepcopy(self._averaged().state_dict())
        return self._record("encoders", seen, list(terms), ndcg20, start)

    def _sampled_layer(self) -> SparseOperator | None:
        """A layer for some steps, or None where steps propagate the whole graph."""
        if self.walks is None:
            return None
        seed = int(torch.randint(2**31, (), generator=self.generator))
        layer_II = self.walks.layer(np.random.default_rng(seed))
        return sparse_operator(layer_II).to(self.device)

    def _fused(self, held_out: HeldOut) -> Fusion:
        """How everything goes together best now, the same on all processes."""
        self.fusion = self.processes.from_leader(held_out.fuse(self._averaged(), self.fusion))
        return self.fusion

    def _begin_routing(self) -> None:
        """Go on from the best epoch; from here on only the head learns."""
        self.encoder_epochs = len(self.history)
        for magnet in (self.magnet, self._averaged()):
            magnet.load_state_dict(self.best_state)
        if not self._user_part_pays():
            for magnet in (self.magnet, self._averaged()):
                with torch.no_grad():
                    magnet.user_behaviour_UD.zero_()
            self.best_state = copy.deepcopy(self._averaged().state_dict())
        self._freeze_encoders()

    def _user_part_pays(self) -> bool:
        """Whether users' free parts find more on validation than their histories do alone."""
        if self.plan is not None:
            return self.plan.user_part
        model = self._trained(self._averaged())
        without, with_part = (
            HeldOut(model, self.dataset, self.few_valid, user_part=x).fuse(model.magnet).ndcg20
            for x in (False, True)
        )
        return self.processes.from_leader((1 - PARSIMONY) * with_part > without)

    def _freeze_encoders(self) -> None:
        for parameter in self.optimizer.param_groups[0]["params"]:
            parameter.requires_grad_(False)

    def _router_epoch(self) -> EpochRecord:
        """The router and the experts' templates learn, embeddings being as they are."""
        start = time.monotonic()
        stage, weights = self.schedule.stage, self.schedule.weights()
        share_K = torch.zeros(self.magnet.head.num_experts, device=self.device)
        seen: list[Tensor] = []
        entropies: list[list[float]] = []
        for batch in islice(self.sampler.epoch(ROUTER_BATCH), ROUTER_STEPS):
            self.optimizer.zero_grad()
            objective = routing_objective(
                self.magnet, self._of_batch(batch), batch, self.config, weights, self.processes
            )
            torch.stack([*objective.terms.values()]).sum().backward()
            self._decay_router()
            seen.append(self._step(objective.terms, len(seen)))
            entropies.append([objective.coverage_entropy, objective.pair_entropy])
            share_K += objective.share_K
        mean = self.processes.mean
        coverage, pair = mean(torch.tensor(entropies, dtype=torch.float64).mean(0)).tolist()
        record = self._record(stage, seen, list(objective.terms), self._validate(), start)
        self.schedule.observe(coverage, record.loss)
        return record.model_copy(
            update={
                "coverage_entropy": coverage,
                "pair_entropy": pair,
                "expert_shares": mean(share_K / len(seen)).tolist(),
            }
        )

    def _of_batch(self, batch: Batch) -> DualViewEmbeddings:
        """The embeddings that a batch wants, of encoders that no longer learn."""
        if self._frozen is None:
            self.encoder.refresh()
            with torch.no_grad():
                everything = torch.arange(len(self.dataset.item_ids), device=self.device)
                self._frozen = self.encoder.embed(cold_X=everything)
        return DualViewEmbeddings(
            self._frozen.item_IVMD[batch.item_X],
            self._frozen.foldin_IVMD[batch.item_X],
            self._frozen.cold_IVMD[batch.cold_Y],
        )

    def _step(self, terms: dict[str, Tensor], done: int) -> Tensor:
        """One step of the optimiser along the gradients; the terms of the loss [T]."""
        term_T = self.processes.mean(torch.stack([*terms.values()]).detach())
        loss = float(term_T.sum())
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} in epoch {len(self.history) + 1}, step "
                f"{done + 1}; nothing was exported. Try a lower learning_rate (now "
                f"{self.config.learning_rate:g}) and check the features for extreme values"
            )
        self.processes.average_gradients(self.magnet.parameters())
        self.optimizer.step()
        self.average.update_parameters(self.magnet)
        return term_T

    def _record(
        self, stage: Stage, seen: list[Tensor], names: list[str], ndcg20: float, start: float
    ) -> EpochRecord:
        """An epoch in which nothing was routed."""
        term_T = torch.stack(seen).double().mean(0).tolist()
        return EpochRecord(
            epoch=len(self.history) + 1,
            stage=stage,
            loss=sum(term_T),
            loss_terms=dict(zip(names, term_T, strict=True)),
            valid_ndcg20=ndcg20,
            coverage_entropy=1.0,
            pair_entropy=1.0,
            expert_shares=[1 / self.magnet.head.num_experts] * self.magnet.head.num_experts,
            seconds=time.monotonic() - start,
        )

    @property
    def _coverage_has_stalled(self) -> bool:
        """Coverage has not settled, but validation has stopped improving (ours)."""
        waiting = self.schedule.trigger_epoch is None and self.schedule.switch == "entropy"
        since = max(self.best_epoch, self.encoder_epochs or 0)
        return waiting and len(self.history) - since >= self.config.patience

    def _decay_router(self) -> None:
        """Decoupled decay of the router's evidence weights towards an even mixture."""
        keep = 1 - self.config.router_learning_rate * self.config.router_weight_decay
        with torch.no_grad():
            for parameter in self.magnet.head.router.parameters():
                parameter.mul_(keep)

    def _remember(self, record: EpochRecord) -> None:
        """Keep the best epoch of the router; without validation, the last one.

        An epoch of specialisation, which trains with the serving gate, wins against one of coverage
        that is better by no more than `STAGE_TOLERANCE`. The first routed epoch wins against none.
        """
        self.history.append(record)
        routed = self.best_epoch > (self.encoder_epochs or 0)
        best = self.history[self.best_epoch - 1] if routed else None
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
            item_item_II=self.item_item_II,
            history=tuple(self.history),
            best_epoch=self.best_epoch,
            trigger_epoch=self._trigger_epoch,
        )

    @property
    def _trigger_epoch(self) -> int | None:
        """The epoch after which specialisation began."""
        if self.schedule.trigger_epoch is None or self.encoder_epochs is None:
            return None
        return self.encoder_epochs + self.schedule.trigger_epoch

    def _validate(self) -> float:
        if not self.validates:
            return 0.0
        if self._held_out is None:
            self._held_out = HeldOut(self._trained(self._averaged()), self.dataset, self.few_valid)
        return self._fused(self._held_out).ndcg20

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
        model = self._trained(magnet)
        if self.plan is not None:
            fusion = self.plan.fusion
        else:
            fusion = HeldOut(model, self.dataset, self.valid).fuse(magnet)
            everything = torch.arange(len(self.dataset.item_ids), device=self.device)
            with torch.no_grad():
                cold_XVMD = self.encoder.of(magnet).embed(everything[:0], everything).cold_IVMD
            fusion = for_new_items(fusion, model, self.dataset, self.valid, cold_XVMD)
            fusion = for_newcomers(fusion, model, self.dataset, self.valid)
        fusion.settle(magnet)
        if fusion.item_item > 0:
            return model
        return replace(model, item_item_II=no_weights(len(self.dataset.item_ids)))

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
            best_ndcg20=self.best_ndcg20,
            fusion=None if self.fusion is None else asdict(self.fusion),
            encoder_epochs=self.encoder_epochs,
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
        self.encoder_epochs = saved.encoder_epochs
        self.best_ndcg20 = saved.best_ndcg20
        self.fusion = None if saved.fusion is None else Fusion(**saved.fusion)
        if self.encoder_epochs is not None:
            self._freeze_encoders()
