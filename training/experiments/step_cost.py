"""The cost of a training step, measured over a few steps; without schedule or validation."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch.optim.swa_utils import AveragedModel

from model.network.encoder import DualViewEmbeddings, GraphEncoder
from model.network.schedule import EntropySchedule
from training.data.dataset import Dataset
from training.fit.config import TrainingConfig
from training.fit.distributed import choose_device
from training.fit.graphs import build_graph
from training.fit.objective import add_gradients
from training.fit.sampler import Batch, Sampler
from training.fit.trained_model import TrainedModel, build_magnet

_STEPS = 8
"""The first one also touches fresh memory; the cheapest of them counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """Seconds of this process's processor time, all its threads together."""

    setting_up: float
    """Model, graph and its content edges, content propagated: once per run."""
    propagation: float
    """Both views, their gradients and the optimiser: once per step."""
    pairs: float
    """Drawing a batch, its objective and gradients: once per step."""
    positives: int
    """Of a batch."""


def measure_step_cost(dataset: Dataset, config: TrainingConfig) -> tuple[StepCost, TrainedModel]:
    """Take a few steps of the coverage stage on the CPU and time their parts."""
    lap = _Laps()
    generator = torch.Generator().manual_seed(config.seed)
    magnet = build_magnet(dataset, config, generator)
    sampler = Sampler.of(config, dataset, generator, choose_device("cpu"))
    train_weight_UI = dataset.train_histories.recency_weighted(sampler.recency_power)
    encoder = GraphEncoder(magnet, build_graph(train_weight_UI, dataset.features.values()))
    setting_up = lap()
    batches = islice(sampler.epoch(dataset.train_histories), _STEPS)
    costs = list(_timed_steps(encoder, batches, config))
    magnet.eval()
    cost = StepCost(
        setting_up=setting_up,
        propagation=min(propagation for propagation, _, _ in costs),
        pairs=min(pairs for _, pairs, _ in costs),
        positives=costs[0][2],
    )
    return cost, TrainedModel.encoded(encoder, train_weight_UI, sampler.recency_power)


def _timed_steps(
    encoder: GraphEncoder, batches: Iterator[Batch], config: TrainingConfig
) -> Iterator[tuple[float, float, int]]:
    """Take steps; yields the seconds of propagation, those of pairs, and the batch's positives.

    The gradients stop at the embeddings and are propagated from there in a second call, which
    changes no result and times both parts.
    """
    magnet = encoder.magnet
    optimizer = torch.optim.Adam(magnet.parameters(), lr=config.learning_rate)
    average = AveragedModel(magnet)
    weights = EntropySchedule(
        coverage_weight=config.coverage_weight,
        specialisation_weight=config.specialisation_weight,
    ).weights()
    lap = _Laps()
    for batch in batches:
        draw = lap()
        optimizer.zero_grad()
        embeddings = encoder.embed(batch.wanted)
        encoded = (embeddings.item_IVMD, embeddings.foldin_IVMD, embeddings.cold_IVMD)
        encode = lap()
        cut = [x.detach().requires_grad_() for x in encoded]
        add_gradients(magnet, DualViewEmbeddings(*cut), batch, config, weights)
        objective = lap()
        learnt = [(x, y.grad) for x, y in zip(encoded, cut, strict=True) if x.requires_grad]
        torch.autograd.backward([x for x, _ in learnt], [grad for _, grad in learnt])
        optimizer.step()
        average.update_parameters(magnet)
        yield encode + lap(), draw + objective, len(batch.item_B)


class _Laps:
    """Processor seconds since the last call."""

    def __init__(self) -> None:
        self._last = time.process_time()

    def __call__(self) -> float:
        last, self._last = self._last, time.process_time()
        return self._last - last
