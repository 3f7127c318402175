import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from model.artifact.manifest import EpochRecord
from model.network.experts import ExpertTemplates
from model.network.schedule import EntropySchedule
from training.data.dataset import DataConfig, Dataset, load_dataset
from training.evaluate.protocol import evaluate
from training.fit import trainer
from training.fit.calibration import Fusion
from training.fit.candidates import Candidates
from training.fit.config import SAMPLED_FROM, TrainingConfig
from training.fit.early import Watch
from training.fit.trained_model import TrainedModel, build_magnet
from training.fit.trainer import (
    GAIN,
    STAGE_TOLERANCE,
    CheckpointError,
    Plan,
    TrainingError,
    train,
    train_to_the_end,
)

SMALL = TrainingConfig(embedding_dim=8, batch_size=64, negatives=16, max_epochs=4)


class Killed(Exception):
    """Stands for a kill between two epochs."""


def parameters(model: TrainedModel) -> list[np.ndarray]:
    return [value.numpy() for value in model.magnet.state_dict().values()]


def same(one: TrainedModel, other: TrainedModel) -> bool:
    pairs = zip(parameters(one), parameters(other), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def stages(model: TrainedModel) -> list[str]:
    return [record.stage for record in model.history]


def test_it_learns_the_planted_tastes(dataset: Dataset) -> None:
    model = train(dataset, SMALL.model_copy(update={"max_epochs": 40}))
    found = evaluate(model.score, dataset, dataset.test).metrics["recall@20"]
    chance = 20 / len(dataset.item_ids)
    assert found > 1.5 * chance
    losses = [record.loss for record in model.history if record.stage == "encoders"]
    assert min(losses) < losses[0]


def test_all_stages_are_reached_and_the_best_epoch_is_kept(dataset: Dataset) -> None:
    specialising = {"router_learning_rate": 0.01, "specialisation_weight": 1.0}
    config = SMALL.model_copy(update={"max_epochs": 40, "patience": 15} | specialising)
    model = train(dataset, config)
    encoders, trigger = stages(model).count("encoders"), model.trigger_epoch
    assert 0 < encoders <= 20
    assert trigger is not None
    assert stages(model) == ["encoders"] * encoders + ["coverage"] * (trigger - encoders) + [
        "specialisation"
    ] * (len(model.history) - trigger)
    routed = model.history[encoders:]
    best = max(record.valid_ndcg20 for record in routed)
    assert model.history[model.best_epoch - 1].valid_ndcg20 >= best * (1 - STAGE_TOLERANCE)
    assert model.best_epoch > encoders
    assert model.history[-1].pair_entropy < model.history[trigger - 1].pair_entropy
    assert all(sum(record.expert_shares) == pytest.approx(1, abs=1e-4) for record in model.history)
    for record in model.history:
        terms = record.loss_terms
        assert sum(terms.values()) == pytest.approx(record.loss)
        assert terms["ranking"] == max(terms.values())
        specialises = terms.get("routing_specialisation", 0) > 0
        assert specialises == (record.stage == "specialisation")


def test_coverage_that_never_settles_gives_way_when_validation_stops_improving(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EntropySchedule, "_due", lambda _: False)
    config = SMALL.model_copy(update={"max_epochs": 60, "patience": 3})
    model = train(dataset, config)
    assert model.trigger_epoch is not None
    coverage = [x.valid_ndcg20 for x in model.history if x.stage == "coverage"]
    assert int(np.argmax(coverage)) + 1 == len(coverage) - 3
    never = train(dataset, config.model_copy(update={"stage_switch": "never", "max_epochs": 8}))
    assert never.trigger_epoch is None


def test_encoders_stop_when_validation_stops_improving(dataset: Dataset) -> None:
    config = SMALL.model_copy(update={"max_epochs": 60, "patience": 3, "learning_rate": 0.05})
    model = train(dataset, config)
    valid = [record.valid_ndcg20 for record in model.history if record.stage == "encoders"]
    assert len(valid) < 30
    best = 0
    for epoch, ndcg in enumerate(valid):
        if ndcg > (1 + GAIN) * valid[best]:
            best = epoch
    assert best + 1 == len(valid) - 3


def test_the_router_goes_on_from_the_best_epoch_of_the_encoders(dataset: Dataset) -> None:
    changes = {"max_epochs": 12, "patience": 6, "learning_rate": 0.5, "router_learning_rate": 1e-9}
    model = train(dataset, SMALL.model_copy(update=changes | {"stage_switch": "never"}))
    valid = [record.valid_ndcg20 for record in model.history]
    assert stages(model) == ["encoders"] * 6 + ["coverage"] * 6
    assert max(valid[:6]) > 1.03 * valid[5]
    assert valid[6:] == pytest.approx([max(valid[:6])] * 6, rel=0.02)


def test_templates_and_coherence_learn_faster_than_evidence_of_pairs(dataset: Dataset) -> None:
    """Bounds flatten templates' gradients: at the router's rate they hardly left their start."""
    changes = {"max_epochs": 20, "patience": 10, "learning_rate": 0.05}
    model = train(dataset, SMALL.model_copy(update=changes | {"router_learning_rate": 1e-9}))
    start_KM = ExpertTemplates(model.magnet.config.modalities)().detach()
    moved_KM = (model.magnet.head.templates().detach() - start_KM).abs()
    assert float(moved_KM.max()) > 0.02
    assert float(model.magnet.head.router.coherence_JG.detach().abs().max()) > 0.1
    assert abs(model.magnet.head.router.scale.item()) < 1e-6


@pytest.mark.parametrize("helps", [True, False])
def test_users_keep_their_free_parts_if_these_find_more(communities: Dataset, helps: bool) -> None:
    still = {"settled_learning_rate": 1e-9, "router_learning_rate": 1e-9, "max_epochs": 2}
    config = SMALL.model_copy(update=still)
    start = build_magnet(communities, config, torch.Generator().manual_seed(0))
    item_ID = TrainedModel.of(start, communities, 0.0).embeddings.item_IVMD[:, 0, 0]
    told_UD = torch.from_numpy(communities.valid.toarray()) @ item_ID
    start.user_behaviour_UD.data.copy_(5 * told_UD if helps else -5 * told_UD)
    model = train(communities, config, start=start)
    assert bool(model.magnet.user_behaviour_UD.any()) == helps


def test_validation_that_finds_nothing_stops_nothing(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Candidates, "ndcg20_along", lambda self, start, end, place_X: np.zeros(len(place_X))
    )
    model = train(dataset, SMALL)
    assert stages(model) == ["encoders"] * 2 + ["coverage"] * 2
    assert np.isfinite(model.score(np.arange(5))).all()


def test_a_seed_fixes_every_bit(dataset: Dataset) -> None:
    assert same(train(dataset, SMALL), train(dataset, SMALL))
    assert not same(train(dataset, SMALL), train(dataset, SMALL.model_copy(update={"seed": 1})))


STAGES = SMALL.model_copy(update={"max_epochs": 8, "patience": 8, "stage_switch": 2})
"""Four epochs of the encoders, two of coverage, two of specialisation."""


@pytest.fixture(scope="module")
def whole(dataset: Dataset) -> TrainedModel:
    model = train(dataset, STAGES)
    assert stages(model) == ["encoders"] * 4 + ["coverage"] * 2 + ["specialisation"] * 2
    return model


@pytest.mark.parametrize(
    ("positives", "propagation", "sampled"),
    [
        (SAMPLED_FROM, "auto", False),
        (SAMPLED_FROM + 1, "auto", True),
        (1, "sampled", True),
        (10**9, "whole", False),
    ],
)
def test_large_data_are_sampled(positives: int, propagation: str, sampled: bool) -> None:
    config = TrainingConfig.model_validate({"propagation": propagation})
    assert config.samples(positives) == sampled


def test_sampled_propagation_goes_on_and_learns_as_well(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "REFRESH_STEPS", 3)
    config = SMALL.model_copy(update={"propagation": "sampled", "max_epochs": 10})
    checkpoint = tmp_path / "run.checkpoint"

    def killed(record: EpochRecord) -> None:
        if record.epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        train(dataset, config, checkpoint=checkpoint, watch=Watch(on_epoch=killed))
    resumed, model = train(dataset, config, checkpoint=checkpoint), train(dataset, config)
    assert same(resumed, model)
    whole = train(dataset, config.model_copy(update={"propagation": "whole"}))
    assert not same(model, whole)
    sampled_recall, recall = (
        evaluate(x.score, dataset, dataset.test).metrics["recall@20"] for x in (model, whole)
    )
    assert sampled_recall > 0.9 * recall


@pytest.mark.parametrize("last", [3, 5, 6, 8])
def test_a_killed_run_goes_on_as_if_it_had_not_been(
    dataset: Dataset, whole: TrainedModel, tmp_path: Path, last: int
) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    seen: list[int] = []

    def killed(record: EpochRecord) -> None:
        seen.append(record.epoch)
        if record.epoch == last and len(seen) == last:
            raise Killed

    with pytest.raises(Killed):
        train(dataset, STAGES, checkpoint=checkpoint, watch=Watch(on_epoch=killed))
    resumed = train(dataset, STAGES, checkpoint=checkpoint, watch=Watch(on_epoch=killed))
    assert seen == [*range(1, last + 1), *range(last, 9)]  # the last was not saved yet
    assert same(resumed, whole)
    assert resumed.best_epoch == whole.best_epoch
    for one, other in zip(resumed.history, whole.history, strict=True):
        assert one.model_copy(update={"seconds": other.seconds}) == other


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
    config = SMALL.model_copy(update={"stage_switch": 1, "patience": 1})
    fusion = Fusion(popularity=0.07, content={"picture": 0.5, "text": 0.25}, cold=0.5)
    plan = Plan(encoder_epochs=1, fusion=fusion, user_part=False)
    model = train_to_the_end(everything, config, plan)
    assert stages(model) == ["encoders", "coverage", "specialisation", "specialisation"]
    assert (model.best_epoch, model.trigger_epoch) == (4, 2)
    assert {record.valid_ndcg20 for record in model.history} == {0.0}
    assert model.train_weight_UI.nnz == dataset.histories.length_U.sum()
    assert Fusion.of(model.magnet).weights() == pytest.approx(fusion.weights())
    assert not model.magnet.user_behaviour_UD.any()
    assert model.item_item_II.nnz == 0
    with pytest.raises(TrainingError, match="0 validation positives"):
        train(everything, config)
