"""Which live models can be compared with and gone on from."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from training.retrain.live_model import SavedWeights, find_live_model
from training.retrain.runs import Runs

TESTED_FROM = 1000.0


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """One run, which made the version `v1`."""
    runs = Runs(tmp_path)
    folder, record = runs.begin("shop")
    record.version = "v1"
    record.finished_at = datetime(2026, 1, 1, tzinfo=UTC)
    folder.write(record)
    return runs


def save(runs: Runs, trained_until: float) -> None:
    made = runs.of_version("v1")
    assert made is not None
    weights = SavedWeights(
        config={},
        state={},
        item_ids=[],
        user_ids=[],
        trust_U1=torch.zeros(0, 1),
        content={},
        recency_power=0,
        trained_until=trained_until,
    )
    weights.save(made[0].weights)


def test_weights_that_have_not_seen_the_test_part_are_gone_on_from(runs: Runs) -> None:
    save(runs, TESTED_FROM - 1)
    live_model = find_live_model(runs, "v1", TESTED_FROM)
    assert live_model.weights is not None
    assert live_model.why_not == ""
    assert live_model.run is not None


def test_the_same_inputs_and_too_few_new_events_are_nothing_new(runs: Runs) -> None:
    live_model = find_live_model(runs, "v1", TESTED_FROM)
    assert live_model.nothing_new("", 2, 3) == "2 new events since v1 was made, 3 are needed"
    assert live_model.nothing_new("", 3, 3) == ""
    assert live_model.nothing_new("other data", 0, 3) == ""
    assert find_live_model(runs, "fitted", TESTED_FROM).nothing_new("", 0, 3) == ""


@pytest.mark.parametrize(
    ("live", "why_not"),
    [
        (None, "nothing is live yet"),
        ("fitted", "fitted was not made by a retraining with this state folder"),
        ("v1", "v1 was trained on part of what would test it"),
    ],
)
def test_others_are_not_and_the_reason_is_told(runs: Runs, live: str | None, why_not: str) -> None:
    save(runs, TESTED_FROM)
    live_model = find_live_model(runs, live, TESTED_FROM)
    assert live_model.weights is None
    assert live_model.why_not.startswith(why_not)


def test_weights_that_are_gone_are_named(runs: Runs) -> None:
    live_model = find_live_model(runs, "v1", TESTED_FROM)
    assert live_model.weights is None
    assert "weights.pt cannot be read" in live_model.why_not
