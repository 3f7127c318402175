"""What a model becomes when it learns from the held-out parts too."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from training.data.dataset import DataConfig, Dataset, load_dataset
from training.fit.config import TrainingConfig
from training.fit.early import Watch
from training.fit.final_model import repeated, train_on_all
from training.fit.trained_model import TrainedModel
from training.fit.trainer import train, train_to_the_end

SMALL = TrainingConfig(embedding_dim=8, batch_size=64, negatives=16, max_epochs=4)


@pytest.fixture(scope="module")
def dataset(tiny_data: Path) -> Dataset:
    return load_dataset(DataConfig(folder=tiny_data))


@pytest.fixture(scope="module")
def found(dataset: Dataset) -> TrainedModel:
    return train(dataset, SMALL)


def weights(model: TrainedModel) -> list[torch.Tensor]:
    return [x.clone() for x in model.magnet.state_dict().values()]


def test_it_learns_from_every_positive(dataset: Dataset, found: TrainedModel) -> None:
    before, epochs = weights(found), []
    final = train_on_all(dataset, SMALL, found, watch=Watch(on_epoch=epochs.append))
    assert final.held_out == "trained"
    assert [x.epoch for x in epochs] == list(range(1, found.best_epoch + 1))
    assert final.train_weight_UI.nnz == dataset.histories.length_U.sum()
    known_I = np.bincount(dataset.histories.item_P, minlength=len(dataset.item_ids)) > 0
    assert (final.magnet.known_I1.squeeze(1).numpy() > 0).tolist() == known_I.tolist()
    assert not torch.equal(final.magnet.item_behaviour_ID, found.magnet.item_behaviour_ID)
    assert all(map(torch.equal, weights(found), before))
    assert (final.history, final.best_epoch) == (found.history, found.best_epoch)


def test_what_validation_has_chosen_stays(dataset: Dataset, found: TrainedModel) -> None:
    final = train_on_all(dataset, SMALL, found)
    for name in ("popularity_weight", "cold_offset", "neighbourhood_weight"):
        assert getattr(final.magnet, name) == getattr(found.magnet, name)
    assert (final.item_item_II.nnz > 0) == (final.magnet.neighbourhood_weight > 0)
    assert np.isfinite(final.score(np.arange(10))).all()


def test_training_may_be_left_out(dataset: Dataset, found: TrainedModel) -> None:
    unseen, encoded = (
        train_on_all(dataset, SMALL.model_copy(update={"held_out": x}), found)
        for x in ("unseen", "encoded")
    )
    assert unseen is found
    assert encoded.held_out == "encoded"
    assert encoded.train_weight_UI.nnz == dataset.histories.length_U.sum()
    known_I1 = found.magnet.known_I1
    before, after = (x.magnet.item_behaviour_ID * known_I1 for x in (found, encoded))
    assert torch.equal(before, after)


def test_the_test_part_may_stay_out(dataset: Dataset, found: TrainedModel) -> None:
    final = train_on_all(dataset, SMALL, found, parts=("valid",))
    assert final.train_weight_UI.nnz == dataset.train.nnz + dataset.valid.nnz
    assert final.train_weight_UI.nnz < dataset.histories.length_U.sum()


@pytest.mark.parametrize(
    ("valid", "trigger", "best", "switch", "epochs"),
    [
        ([0.1, 0.3, 0.2, 0.25], None, 2, "never", 2),
        ([0.1, 0.3, 0.2, 0.25, 0.2], 4, 2, "never", 2),  # the second stage only lost
        ([0.1, 0.3, 0.2, 0.29, 0.31, 0.30], 3, 5, 2, 4),  # 2 of the first stage, 4 and 5
        ([0.1, 0.3, 0.2], 0, 2, 0, 2),  # went on from another model
    ],
)
def test_the_epochs_that_made_it_are_repeated(
    valid: list[float],
    trigger: int | None,
    best: int,
    switch: int | str,
    epochs: int,
    found: TrainedModel,
) -> None:
    records = [found.history[0].model_copy(update={"valid_ndcg20": x}) for x in valid]
    made = replace(found, history=tuple(records), trigger_epoch=trigger, best_epoch=best)
    settings = repeated(SMALL, made)
    assert (settings.stage_switch, settings.max_epochs) == (switch, epochs)


def test_on_the_same_data_they_make_the_same_weights(dataset: Dataset) -> None:
    config = SMALL.model_copy(update={"stage_switch": 1})
    found = train(dataset, config)
    again = train_to_the_end(
        replace(dataset, valid=csr_array(dataset.valid.shape, dtype=np.float32)),
        repeated(config, found),
    )
    one, other = found.magnet.item_behaviour_ID, again.magnet.item_behaviour_ID
    assert torch.equal(one, other)
