"""Costs that are really measured, and the section and the picture of them."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from deploy.cli.app import main
from training.data.dataset import DataConfig, load_dataset
from training.experiments.benchmark.costs import Costs, as_markdown, draw_curves, measure_costs
from training.fit.config import TrainingConfig

SMALL = TrainingConfig(embedding_dim=8, batch_size=64, negatives=16, max_epochs=3)


@pytest.fixture(scope="module")
def costs(tiny_data: Path) -> Costs:
    return measure_costs(load_dataset(DataConfig(folder=tiny_data)), SMALL)


def test_both_are_measured(costs: Costs) -> None:
    assert costs.negatives == 16
    assert costs.magnet.epochs == 3
    assert len(costs.magnet.curve) == 4  # and the finished model
    assert len(costs.lightgcn.curve) == costs.lightgcn.epochs > 3
    for cost in (costs.magnet, costs.lightgcn):
        seconds = [at for at, _ in cost.curve]
        assert seconds == sorted(seconds)
        assert 0 < cost.epoch_seconds < cost.fit_seconds
        assert cost.fit_seconds >= seconds[-1]
        assert cost.peak_mb > 50
    assert costs.magnet.final_seconds > 0


def test_the_section_has_the_ratios(costs: Costs) -> None:
    text = as_markdown(costs, "magnet costs --data DIR", "curves.svg")
    ratio = costs.magnet.epoch_seconds / costs.lightgcn.epoch_seconds
    (row,) = [line for line in text.splitlines() if line.startswith("| **MAGNET**")]
    assert f"{costs.magnet.epoch_seconds:.2f} ({ratio:.1f})" in row
    assert "share 16 negatives" in text
    assert "(curves.svg)" in text
    assert "svg" not in as_markdown(costs, "magnet costs", None)


def test_curves_are_drawn_against_seconds(costs: Costs) -> None:
    svg = draw_curves(costs)
    words = {x.text for x in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert {"MAGNET", "seconds of the processor"} <= words


def test_the_command_writes_all_three(
    costs: Costs, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.experiments.benchmark.costs.measure_costs", lambda *_: costs)
    monkeypatch.chdir(tmp_path)
    options = ["--plot", "curves.svg", "--json", "costs.json", "--document", "page.md"]
    assert main(["costs", "--data", str(tiny_data), *options]) == 0
    figures = json.loads((tmp_path / "costs.json").read_text())
    assert figures["magnet"]["fit_seconds"] == costs.magnet.fit_seconds
    assert "<!-- benchmark tiny costs start -->" in (tmp_path / "page.md").read_text()
    assert (tmp_path / "curves.svg").read_text() == draw_curves(costs)
