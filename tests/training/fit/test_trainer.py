import dataclasses
from pathlib import Path

import numpy as np
import pytest

from model.artifact.manifest import EpochRecord
from model.network.schedule import EntropySchedule
from training.data.dataset import DataConfig, Dataset, load_dataset
from training.evaluate.protocol import evaluate
from training.fit.config import TrainingConfig
from training.fit.early import Watch
from training.fit.trained_model import TrainedModel
from training.fit.trainer import (
    STAGE_TOLERANCE,
    CheckpointError,
    TrainingError,
    train,
    train_to_the_end,
)

SMALL = TrainingConfig(embedding_dim=8, batch_size=64, negatives=16, max_epochs=4)


class Killed(Exception):
    """Stands for a kill between two epochs."""


@pytest.fixture(scope="module")
def dataset(tiny_data: Path) -> Dataset:
    return load_dataset(DataConfig(folder=tiny_data))


def parameters(model: TrainedModel) -> list[np.ndarray]:
    return [value.numpy() for value in model.magnet.state_dict().values()]


def same(one: TrainedModel, other: TrainedModel) -> bool:
    pairs = zip(parameters(one), parameters(other), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def test_it_learns_the_planted_tastes(dataset: Dataset) -> None:
    model = train(dataset, SMALL.model_copy(update={"max_epochs": 40}))
    found = evaluate(model.score, dataset, dataset.test).metrics["recall@20"]
    chance = 20 / len(dataset.item_ids)
    assert found > 1.5 * chance
    coverage = [record.loss for record in model.history if record.stage == "coverage"]
    assert min(coverage) < coverage[0]


def test_both_stages_are_reached_and_the_best_epoch_is_kept(dataset: Dataset) -> None:
    specialising = {"router_learning_rate": 0.01, "specialisation_weight": 1.0}
    config = SMALL.model_copy(update={"max_epochs": 40, "patience": 20} | specialising)
    model = train(dataset, config)
    stages = [record.stage for record in model.history]
    assert model.trigger_epoch is not None
    assert stages == ["coverage"] * model.trigger_epoch + ["specialisation"] * (
        len(stages) - model.trigger_epoch
    )
    best = max(record.valid_ndcg20 for record in model.history)
    assert model.history[model.best_epoch - 1].valid_ndcg20 >= best * (1 - STAGE_TOLERANCE)
    assert model.history[-1].pair_entropy < model.history[model.trigger_epoch - 1].pair_entropy
    assert all(sum(record.expert_shares) == pytest.approx(1, abs=1e-4) for record in model.history)
    for record in model.history:
        terms = record.loss_terms
        assert sum(terms.values()) == pytest.approx(record.loss)
        assert terms["ranking"] == max(terms.values())
        assert (terms["routing_specialisation"] > 0) == (record.stage == "specialisation")


def test_coverage_that_never_settles_gives_way_when_validation_stops_improving(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EntropySchedule, "_due", lambda _: False)
    config = SMALL.model_copy(update={"max_epochs": 60, "patience": 3})
    model = train(dataset, config)
    assert model.trigger_epoch is not None
    coverage = [record.valid_ndcg20 for record in model.history[: model.trigger_epoch]]
    assert int(np.argmax(coverage)) + 1 == model.trigger_epoch - 3
    never = train(dataset, config.model_copy(update={"stage_switch": "never", "max_epochs": 8}))
    assert never.trigger_epoch is None


def test_specialisation_goes_on_from_the_best_epoch_of_coverage(dataset: Dataset) -> None:
    standing_still = {"settled_learning_rate": 1e-9, "router_learning_rate": 1e-9}
    changes = {"max_epochs": 12, "stage_switch": 9, "learning_rate": 0.5} | standing_still
    model = train(dataset, SMALL.model_copy(update=changes))
    valid = [record.valid_ndcg20 for record in model.history]
    assert max(valid[:9]) > valid[8]
    assert valid[9:] == pytest.approx([max(valid[:9])] * 3)
    assert model.best_epoch == 10  # as good as the best of coverage, and routed as it is served


def test_a_seed_fixes_every_bit(dataset: Dataset) -> None:
    assert same(train(dataset, SMALL), train(dataset, SMALL))
    assert not same(train(dataset, SMALL), train(dataset, SMALL.model_copy(update={"seed": 1})))


def test_a_killed_run_goes_on_as_if_it_had_not_been(dataset: Dataset, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    seen: list[int] = []

    def killed(record: EpochRecord) -> None:
        seen.append(record.epoch)
        if record.epoch == 3 and len(seen) == 3:
            raise Killed

    with pytest.raises(Killed):
        train(dataset, SMALL, checkpoint=checkpoint, watch=Watch(on_epoch=killed))
    resumed = train(dataset, SMALL, checkpoint=checkpoint, watch=Watch(on_epoch=killed))
    assert seen == [1, 2, 3, 3, 4]  # the third was not saved yet
    assert same(resumed, train(dataset, SMALL))


def test_a_checkpoint_of_other_settings_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    train(dataset, SMALL, checkpoint=checkpoint)
    with pytest.raises(CheckpointError, match=r"other data or settings.*delete"):
        train(dataset, SMALL.model_copy(update={"seed": 9}), checkpoint=checkpoint)


def test_a_damaged_checkpoint_says_what_to_do(dataset: Dataset, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    checkpoint.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"cannot be read.*delete"):
        train(dataset, SMALL, checkpoint=checkpoint)


def test_a_loss_that_is_not_finite_stops_the_run(dataset: Dataset) -> None:
    absurd = SMALL.model_copy(update={"learning_rate": 1e30, "max_epochs": 20})
    with pytest.raises(TrainingError, match=r"loss became (nan|inf).*learning_rate"):
        train(dataset, absurd)


@pytest.mark.parametrize("modalities", [[], ["text"], ["picture", "text"]])
def test_any_number_of_modalities(tiny_data: Path, modalities: list[str]) -> None:
    data = load_dataset(DataConfig(folder=tiny_data, modalities=modalities))
    model = train(data, SMALL)
    assert model.magnet.config.modalities == ("behaviour", *modalities)
    assert np.isfinite(model.score(np.arange(5))).all()


def test_the_test_part_is_never_looked_at(dataset: Dataset) -> None:
    blind = dataclasses.replace(
        dataset, test=dataset.test * 0, histories=dataset.train_histories, seen=dataset.train
    )
    assert same(train(dataset, SMALL), train(blind, SMALL))


def test_nothing_to_train_on(dataset: Dataset) -> None:
    with pytest.raises(TrainingError, match="0 validation positives"):
        train(dataclasses.replace(dataset, valid=dataset.valid[:, :0]), SMALL)


def test_without_validation_the_last_epoch_is_kept(dataset: Dataset) -> None:
    everything = dataset.merged("valid", "test")
    config = SMALL.model_copy(update={"stage_switch": 2, "patience": 1})
    model = train_to_the_end(everything, config)
    assert (model.best_epoch, model.trigger_epoch, len(model.history)) == (4, 2, 4)
    assert {record.valid_ndcg20 for record in model.history} == {0.0}
    assert model.train_weight_UI.nnz == dataset.histories.length_U.sum()
    assert model.magnet.neighbourhood_weight == 0  # nothing to calibrate on
    with pytest.raises(TrainingError, match="0 validation positives"):
        train(everything, config)
