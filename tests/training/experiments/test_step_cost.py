import pytest

from training.data.dataset import Dataset
from training.experiments.step_cost import measure_step_cost
from training.fit.config import TrainingConfig


@pytest.mark.parametrize("data", ["communities", "new_items"])
def test_steps_are_taken_and_timed_with_and_without_content(
    data: str, request: pytest.FixtureRequest
) -> None:
    dataset: Dataset = request.getfixturevalue(data)
    cost, model = measure_step_cost(dataset, TrainingConfig(embedding_dim=8, max_steps=4))
    assert min(cost.propagation, cost.pairs) > 0
    assert cost.positives > 0
    assert len(model.embeddings.item_IVMD) == len(dataset.item_ids)
