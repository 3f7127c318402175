"""The model that is served: it learns from what was held out too, once that has measured it (ours).

docs/adr/0025-the-served-model-learns-from-everything.md says why, and what else was tried.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from model.network.magnet import Magnet
from training.data.dataset import Dataset
from training.fit.calibration import Fusion
from training.fit.config import TrainingConfig
from training.fit.distributed import Processes
from training.fit.early import Watch
from training.fit.trained_model import TrainedModel, encode_anew
from training.fit.trainer import GAIN, Plan, train_to_the_end

Part = Literal["valid", "test"]
BOTH: tuple[Part, ...] = ("valid", "test")


class How(TypedDict, total=False):
    """As for `train_to_the_end`."""

    checkpoint: Path | None
    watch: Watch
    processes: Processes
    start: Magnet | None


def train_on_all(
    dataset: Dataset,
    config: TrainingConfig,
    found: TrainedModel,
    parts: Sequence[Part] = BOTH,
    **how: Unpack[How],
) -> TrainedModel:
    """A model like `found` that knows held-out parts too, as `config.held_out` says.

    - `encoded`: the same weights, with the parts in the graph, in histories, in popularity and in
      the item-item model.
    - `trained`: that, and weights that are trained on everything, with the same seed, for as many
      epochs of both stages as made `found`.

    What was calibrated on validation stays as it was.

    Args:
        dataset: its training part is what `found` was trained on.
        config: of `found`.
        found: chosen by validation; it stays as it is.
        parts: what to learn from.
        **how: where `found` went on from a model, `start` is that model made for `dataset.merged`.

    Raises:
        TrainingError: the loss is not finite.
        ProcessesError: one of the processes has ended.
        CheckpointError: `checkpoint` cannot be used.
    """
    if config.held_out == "unseen":
        return found
    everything = dataset.merged(*parts)
    if config.held_out == "encoded":
        return replace(encode_anew(found, dataset, everything), held_out="encoded")
    repeated_config, plan = repeated(config, found)
    trained = train_to_the_end(everything, repeated_config, plan, **how)
    return replace(
        TrainedModel.of(trained.magnet, everything, found.recency_power),
        history=found.history,
        best_epoch=found.best_epoch,
        trigger_epoch=found.trigger_epoch,
        held_out="trained",
    )


def repeated(config: TrainingConfig, found: TrainedModel) -> tuple[TrainingConfig, Plan]:
    """Settings and plan for as many epochs of each stage as are in the weights of `found`."""
    stages = [record.stage for record in found.history[: found.best_epoch]]
    in_weights, reached = 0, -1.0
    for record in found.history:
        if record.stage == "encoders" and record.valid_ndcg20 > (1 + GAIN) * reached:
            in_weights, reached = record.epoch, record.valid_ndcg20
    coverage, specialisation = stages.count("coverage"), stages.count("specialisation")
    epochs = in_weights + coverage + specialisation
    plan = Plan(
        encoder_epochs=in_weights,
        fusion=Fusion.of(found.magnet),
        user_part=bool(found.magnet.user_behaviour_UD.any()),
    )
    switch = coverage if specialisation else "never"
    return config.model_copy(update={"stage_switch": switch, "max_epochs": max(1, epochs)}), plan
