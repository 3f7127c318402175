from pathlib import Path

import pytest
import torch

from model.network.encoder import GraphEncoder
from model.network.schedule import EntropySchedule
from training.data.dataset import DataConfig, Dataset, load_dataset
from training.fit import objective as objective_module
from training.fit.config import TrainingConfig
from training.fit.graphs import build_graph
from training.fit.objective import add_gradients
from training.fit.sampler import Sampler
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


def gradients(
    dataset: Dataset, config: TrainingConfig = CONFIG
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """The terms of one batch's loss and every parameter's gradient."""
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
    batch = next(sampler.epoch())
    encoder = GraphEncoder(magnet, build_graph(dataset.train, dataset.features.values()))
    found = add_gradients(magnet, encoder.embed(*batch.wanted), batch, config, WEIGHTS)
    return {name: term.item() for name, term in found.terms.items()}, {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in magnet.named_parameters()
    }


def test_blocks_change_neither_loss_nor_gradients(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_terms, whole = gradients(dataset)
    monkeypatch.setattr(objective_module, "block_rows", lambda _: 7)
    terms, blocked = gradients(dataset)
    assert terms == pytest.approx(whole_terms, rel=1e-5)
    for name, gradient in whole.items():
        assert torch.allclose(blocked[name], gradient, rtol=1e-3, atol=1e-6), name


def test_every_parameter_learns(dataset: Dataset) -> None:
    _, found = gradients(dataset)
    assert {name for name, gradient in found.items() if not gradient.abs().sum() > 0} == set()


@pytest.mark.parametrize(
    ("term", "settings"),
    [
        ("alignment", ["view_alignment", "modality_alignment"]),
        ("view_regulariser", ["view_regulariser"]),
        ("l2", ["l2"]),
    ],
)
def test_a_term_is_told_with_its_weight(dataset: Dataset, term: str, settings: list[str]) -> None:
    terms, _ = gradients(dataset)
    doubled = {name: 2 * getattr(CONFIG, name) for name in settings}
    heavier, _ = gradients(dataset, CONFIG.model_copy(update=doubled))
    assert terms[term] > 0
    assert heavier == pytest.approx(terms | {term: 2 * terms[term]}, rel=1e-5)
