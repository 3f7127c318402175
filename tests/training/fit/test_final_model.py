"""What a model becomes when it learns from the held-out parts too."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from training.data.dataset import Dataset
from training.fit.calibration import Fusion
from training.fit.config import TrainingConfig
from training.fit.early import Watch
from training.fit.final_model import repeated, train_on_all
from training.fit.trained_model import TrainedModel
from training.fit.trainer import train, train_to_the_end

SMALL = TrainingConfig(embedding_dim=8, batch_size=64, negatives=16, max_epochs=4)


@pytest.fixture(scope="module")
def found(dataset: Dataset) -> TrainedModel:
    return train(dataset, SMALL)


def weights(model: TrainedModel) -> list[torch.Tensor]:
    return [x.clone() for x in model.magnet.state_dict().values()]


def test_it_learns_from_every_positive(dataset: Dataset, found: TrainedModel) -> None:
    before, epochs = weights(found), []
    final = train_on_all(dataset, SMALL, found, watch=Watch(on_epoch=epochs.append))
    assert final.held_out == "trained"
    config, _ = repeated(SMALL, found)
    assert [x.epoch for x in epochs] == list(range(1, config.max_epochs + 1))
    assert final.train_weight_UI.nnz == dataset.histories.length_U.sum()
    known_I = np.bincount(dataset.histories.item_P, minlength=len(dataset.item_ids)) > 0
    assert (final.magnet.known_I1.squeeze(1).numpy() > 0).tolist() == known_I.tolist()
    assert not torch.equal(final.magnet.item_behaviour_ID, found.magnet.item_behaviour_ID)
    assert all(map(torch.equal, weights(found), before))
    assert (final.history, final.best_epoch) == (found.history, found.best_epoch)


def test_what_validation_has_chosen_stays(dataset: Dataset, found: TrainedModel) -> None:
    final = train_on_all(dataset, SMALL, found)
    assert Fusion.of(final.magnet).weights() == pytest.approx(Fusion.of(found.magnet).weights())
    assert (final.item_item_II.nnz > 0) == (final.magnet.item_item_deviation > 0)
    free, before = (bool(x.magnet.user_behaviour_UD.any()) for x in (final, found))
    assert free == before
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


E, C, S = "encoders", "coverage", "specialisation"


@pytest.mark.parametrize(
    ("stages", "valid", "best", "encoders", "switch", "epochs"),
    [
        ([E, E, E, C], [0.1, 0.3, 0.2, 0.25], 2, 2, "never", 2),  # the router never ran long
        ([E, E, C, C, S], [0.1, 0.3, 0.31, 0.32, 0.2], 4, 2, "never", 4),  # S only lost
        ([E, E, E, C, C, S, S], [0.1, 0.3, 0.3001, 0.3, 0.29, 0.31, 0.32], 7, 2, 2, 6),
        ([E, E, S, S], [0.3, 0.2, 0.31, 0.32], 4, 1, 0, 3),  # went on from another model
    ],
)
def test_the_epochs_that_made_it_are_repeated(
    stages: list[str],
    valid: list[float],
    best: int,
    encoders: int,
    switch: int | str,
    epochs: int,
    found: TrainedModel,
) -> None:
    record = found.history[0]
    history = tuple(
        record.model_copy(update={"epoch": epoch, "stage": stage, "valid_ndcg20": ndcg20})
        for epoch, (stage, ndcg20) in enumerate(zip(stages, valid, strict=True), 1)
    )
    config, plan = repeated(SMALL, replace(found, history=history, best_epoch=best))
    assert plan.encoder_epochs == encoders
    assert (config.stage_switch, config.max_epochs) == (switch, epochs)


def test_on_the_same_data_they_make_the_same_weights(dataset: Dataset) -> None:
    config = SMALL.model_copy(update={"stage_switch": 1})
    found = train(dataset, config)
    again = train_to_the_end(
        replace(dataset, valid=csr_array(dataset.valid.shape, dtype=np.float32)),
        *repeated(config, found),
    )
    one, other = found.magnet.item_behaviour_ID, again.magnet.item_behaviour_ID
    assert torch.equal(one, other)
