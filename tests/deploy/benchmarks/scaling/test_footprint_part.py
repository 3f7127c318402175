"""Measured sizes become lines, and the lines' tables their section of a document."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deploy.benchmarks.scaling.data import Size, write_random_data
from deploy.benchmarks.scaling.footprint_part import (
    SIZES,
    Footprint,
    StepCost,
    footprint,
    measure_step_cost,
    report,
)
from training.data.dataset import DataConfig, load_dataset
from training.fit.config import TrainingConfig


def planted(size: Size) -> Footprint:
    """Costs that are lines but for the memory of training, which is 50 MB more at the last size."""
    step = StepCost(
        setting_up=1.0,
        propagation=0.25 + 2e-6 * size.items + 3e-6 * size.interactions,
        pairs=0.5,
        positives=4096,
    )
    return Footprint(
        step=step,
        training_mb=100 + 1e-3 * size.users + 50 * (size == SIZES[-1]),
        artifact_mb=5e-4 * size.items,
        redis_mb=1.0,
        service_mb=1.0,
    )


def test_the_lines_are_found_and_tested_on_the_last_size() -> None:
    lines = report(SIZES, [planted(size) for size in SIZES], 2).splitlines()
    cells = {
        line.split(" | ")[0]: line.removesuffix(" |").split(" | ")
        for line in lines
        if " | " in line
    }
    propagation = cells["| propagation in a step"]
    assert [float(cell.split()[0]) for cell in propagation[2:]] == pytest.approx(
        [2, 3, 0.25, 3.33, 3.33], rel=1e-2
    )
    assert cells["| memory of training"][1] == "1e+03 bytes"
    assert cells["| memory of training"][-2:] == ["130 MB", "180 MB"]
    assert cells["| artifact on disk"][2] == "500 bytes"


def test_data_have_exactly_the_size_asked_for(tmp_path: Path) -> None:
    size = Size(users=500, items=80, interactions=3000)
    write_random_data(size, 2, tmp_path)
    dataset = load_dataset(DataConfig(folder=tmp_path))
    assert (len(dataset.user_ids), len(dataset.item_ids), dataset.seen.nnz) == (500, 80, 3000)
    assert list(dataset.features) == ["content0", "content1"]
    counts_I = np.sort(np.bincount(dataset.seen.indices, minlength=80))[::-1]
    assert counts_I[:8].sum() > counts_I[-40:].sum()  # a long tail


@pytest.mark.parametrize("interactions", [900, 10_001])
def test_a_size_that_cannot_be_drawn(interactions: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="interactions must be from 2000 to 10000"):
        write_random_data(Size(500, 80, interactions), 0, tmp_path)


@pytest.mark.slow
def test_a_small_data_set_leaves_its_footprint_everywhere() -> None:
    found = footprint(Size(users=300, items=200, interactions=2000), 1)
    assert 0 < found.step.propagation < found.step.pairs
    assert 0 < found.step.positives <= 1000
    assert found.training_mb > 100
    vectors = 4 * 2 * 2 * 64
    assert found.artifact_mb > (300 + 2 * 200) * vectors / 1e6
    assert found.redis_mb > 0.5
    assert found.service_mb > 30


def test_steps_are_taken_and_timed(tmp_path: Path) -> None:
    write_random_data(Size(users=200, items=100, interactions=2000), 1, tmp_path)
    dataset = load_dataset(DataConfig(folder=tmp_path))
    for data in (dataset, replace(dataset, features={})):
        cost, model = measure_step_cost(data, TrainingConfig(embedding_dim=8, max_steps=4))
        assert min(cost.propagation, cost.pairs) > 0
        assert cost.positives > 0
        assert len(model.embeddings.item_IVMD) == len(dataset.item_ids)
