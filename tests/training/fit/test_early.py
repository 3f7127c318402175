"""Which models are handed over while training goes on, and when."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.artifact.manifest import EpochRecord
from training.data.dataset import Dataset
from training.evaluate.protocol import evaluate, popularity_scores
from training.fit.config import TrainingConfig
from training.fit.early import GAIN, EarlyModel, HandOvers, Watch
from training.fit.trained_model import TrainedModel
from training.fit.trainer import train

SMALL = TrainingConfig(embedding_dim=8, batch_size=64, negatives=16, max_epochs=3)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of day, which only the test moves."""
    now = [100.0]
    monkeypatch.setattr("training.fit.early.time.monotonic", lambda: now[0])
    return now


def ndcg20(model: TrainedModel, dataset: Dataset) -> float:
    return evaluate(model.score, dataset, dataset.valid).metrics["ndcg@20"]


def test_a_model_that_nobody_has_trained_is_handed_over_and_changes_nothing(
    dataset: Dataset,
) -> None:
    early: list[EarlyModel] = []
    scores: list[NDArray[np.float32]] = []

    def take(given: EarlyModel) -> None:
        early.append(given)
        scores.append(given.model.score(np.arange(9)))

    finished = train(dataset, SMALL, watch=Watch(on_better=take))
    first = early[0]
    assert (first.model.best_epoch, first.model.history) == (0, ())
    assert first.valid.metrics["ndcg@20"] == ndcg20(first.model, dataset)
    popular = evaluate(popularity_scores(dataset.train), dataset, dataset.valid)
    assert first.popular.metrics == popular.metrics
    assert popular.metrics["ndcg@20"] < first.valid.metrics["ndcg@20"]
    np.testing.assert_array_equal(first.model.score(np.arange(9)), scores[0])
    for one, other in zip(
        train(dataset, SMALL).magnet.state_dict().values(),
        finished.magnet.state_dict().values(),
        strict=True,
    ):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_killed_run_hands_over_its_best_epoch_when_it_goes_on(
    dataset: Dataset, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    early: list[EarlyModel] = []

    def stop(record: EpochRecord) -> None:
        if record.epoch == 3:
            raise KeyboardInterrupt

    for _ in range(2):
        watch = Watch(on_epoch=stop, on_better=early.append)
        with pytest.raises(KeyboardInterrupt):
            train(dataset, SMALL, checkpoint=checkpoint, watch=watch)
    untrained, trained = early
    assert untrained.model.best_epoch == 0
    assert [record.epoch for record in trained.model.history] == [1, 2]
    assert trained.model.best_epoch > 0
    assert trained.valid.metrics["ndcg@20"] == ndcg20(trained.model, dataset)


@dataclass
class Better:
    """Scores that find what is held out for a share of the users, popularity for the others."""

    dataset: Dataset
    share: float

    def score(self, user_B: NDArray[np.int64]) -> NDArray[np.float32]:
        knows_B1 = (user_B % 100 < 100 * self.share)[:, None]
        held_out_BI = self.dataset.valid[user_B].toarray() * 1000
        return popularity_scores(self.dataset.train)(user_B) + knows_B1 * held_out_BI


def test_each_one_is_better_and_comes_after_a_pause(
    communities: Dataset, clock: list[float]
) -> None:
    taken: list[EarlyModel] = []
    hand_overs = HandOvers(taken.append, communities, communities.valid)

    def offer(epoch: int, share: float, cost: float = 0.0) -> bool:
        """Whether a model is asked for."""
        asked = []

        def made() -> Better:
            clock[0] += cost
            asked.append(epoch)
            return Better(communities, share)

        hand_overs.offer(epoch, made)  # type: ignore[arg-type]
        return bool(asked)

    assert offer(0, 0.0, cost=2.0)  # as good as popularity
    assert not taken
    clock[0] += 17.9
    assert not offer(1, 0.5)
    clock[0] += 0.1
    assert offer(1, 0.5)
    assert [round(each.seconds, 3) for each in taken] == [20.0]
    clock[0] += 19.9
    assert not offer(2, 0.6)
    clock[0] += 100
    assert not offer(1, 0.6)  # the same epoch once more
    assert offer(2, 0.5)  # no better
    clock[0] += 1000
    assert offer(3, 0.7)
    assert len(taken) == 2
    popular, first, second = (
        found.metrics["ndcg@20"] for found in (taken[0].popular, taken[0].valid, taken[1].valid)
    )
    assert second > (1 + GAIN) * first > first > popular
