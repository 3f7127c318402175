from pathlib import Path

import pytest
import torch

from model.network.encoder import GraphEncoder
from model.network.magnet import Magnet
from model.network.schedule import EntropySchedule
from training.data.dataset import DataConfig, Dataset, load_dataset
from training.fit.config import TrainingConfig
from training.fit.graphs import build_graph
from training.fit.objective import HARD_NEGATIVES, encoder_terms, routing_objective
from training.fit.sampler import Batch, Sampler
from training.fit.trained_model import build_magnet

CONFIG = TrainingConfig(
    embedding_dim=8,
    batch_size=150,
    max_steps=1,
    negatives=12,
    longest_history=10,
    recency_power=0.5,
    cold_rate=0.3,
)
WEIGHTS = EntropySchedule(coverage_weight=1.0, specialisation_weight=0.1, switch=0).weights()


@pytest.fixture(scope="module")
def dataset(tiny_data: Path) -> Dataset:
    return load_dataset(DataConfig(folder=tiny_data))


def prepared(dataset: Dataset, config: TrainingConfig) -> tuple[Magnet, GraphEncoder, Batch]:
    generator = torch.Generator().manual_seed(0)
    magnet = build_magnet(dataset, config, generator)
    with torch.no_grad():
        magnet.head.router.scale.fill_(0.5)  # at zero the evidence weights have no gradient
    sampler = Sampler(
        config=config,
        histories=dataset.train_histories,
        has_content=True,
        generator=generator,
        device=torch.device("cpu"),
    )
    encoder = GraphEncoder(magnet, build_graph(dataset.train, dataset.features.values()))
    return magnet, encoder, next(sampler.epoch())


def learning(magnet: Magnet) -> set[str]:
    return {
        name for name, p in magnet.named_parameters() if p.grad is not None and p.grad.abs().sum()
    }


def encoder_loss(dataset: Dataset, config: TrainingConfig) -> tuple[Magnet, dict[str, float]]:
    magnet, encoder, batch = prepared(dataset, config)
    terms = encoder_terms(magnet, encoder.embed(*batch.wanted), batch, config)
    torch.stack([*terms.values()]).sum().backward()
    return magnet, {name: term.item() for name, term in terms.items()}


def test_encoders_learn_all_but_the_head(dataset: Dataset) -> None:
    magnet, _ = encoder_loss(dataset, CONFIG)
    others = {name for name, _ in magnet.named_parameters() if not name.startswith("head.")}
    assert learning(magnet) == others


def test_the_router_learns_the_head_alone(dataset: Dataset) -> None:
    magnet, encoder, batch = prepared(dataset, CONFIG)
    found = routing_objective(magnet, encoder.embed(*batch.wanted), batch, CONFIG, WEIGHTS)
    torch.stack([*found.terms.values()]).sum().backward()
    head = {name for name, _ in magnet.named_parameters() if name.startswith("head.")}
    assert learning(magnet) == head
    assert found.share_K.sum().item() == pytest.approx(1)


def test_only_the_hardest_negatives_are_routed(dataset: Dataset) -> None:
    """With an even router, routing more of them adds less than the hardest do."""
    few, many = (
        CONFIG.model_copy(update={"negatives": count})
        for count in (HARD_NEGATIVES, 4 * HARD_NEGATIVES)
    )
    even = EntropySchedule(coverage_weight=0.0, specialisation_weight=0.0).weights()
    losses = []
    for config in (few, many):
        magnet, encoder, batch = prepared(dataset, config)
        with torch.no_grad():
            magnet.head.router.scale.zero_()
        found = routing_objective(magnet, encoder.embed(*batch.wanted), batch, config, even)
        losses.append(found.terms["ranking"].item())
    assert losses[0] < losses[1]  # the hardest of many are harder than all of a few


@pytest.mark.parametrize(
    ("term", "settings"),
    [("alignment", ["view_alignment", "modality_alignment"]), ("l2", ["l2"])],
)
def test_a_term_is_told_with_its_weight(dataset: Dataset, term: str, settings: list[str]) -> None:
    _, terms = encoder_loss(dataset, CONFIG)
    doubled = {name: 2 * getattr(CONFIG, name) for name in settings}
    _, heavier = encoder_loss(dataset, CONFIG.model_copy(update=doubled))
    assert terms[term] > 0
    assert heavier == pytest.approx(terms | {term: 2 * terms[term]}, rel=1e-5)
