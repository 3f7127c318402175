"""The baselines that every model is told beside."""

import pytest

from training.data.dataset import Dataset
from training.evaluate import closed_forms
from training.evaluate.closed_forms import references
from training.evaluate.protocol import evaluate, popularity_scores


def test_each_is_measured_on_each_part(dataset: Dataset) -> None:
    found = references(dataset, {"valid": dataset.valid, "test": dataset.test})
    assert set(found) == {
        f"baseline/{name}/{part}"
        for name in ("popularity", "ItemKNN", "EASE")
        for part in ("valid", "test")
    }
    popular = evaluate(popularity_scores(dataset.train), dataset, dataset.test)
    assert found["baseline/popularity/test"].metrics == popular.metrics
    for name in ("ItemKNN", "EASE"):  # two planted tastes, which popularity cannot tell apart
        reached = found[f"baseline/{name}/test"].metrics["ndcg@20"]
        assert reached > popular.metrics["ndcg@20"]


def test_what_would_take_long_is_left_out(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closed_forms, "MOST_PAIRS", 10)
    monkeypatch.setattr(closed_forms, "MOST_ITEMS", 10)
    assert set(references(dataset, {"valid": dataset.valid})) == {"baseline/popularity/valid"}
