"""The live model: whether a candidate can start from its weights and be compared with it.

A version's trained weights are kept for that, because an artifact holds embeddings only.

Letters: C items in common, D dimension, F feature width, I items.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.network.config import BEHAVIOUR, MagnetConfig
from model.network.magnet import Magnet
from training.data.dataset import Dataset
from training.data.features import Standardisation
from training.data.files import write_durably
from training.fit.trained_model import TrainedModel, rows_by_id
from training.retrain.runs import RunRecord, Runs


class WeightsError(RuntimeError):
    """Saved weights cannot be read, or do not fit some data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedWeights:
    """A trained model without its data."""

    config: dict[str, Any]
    state: dict[str, Tensor]
    item_ids: list[str]
    user_ids: list[str]
    trust_U1: Tensor
    """How much each user's free part counts."""
    content: dict[str, Tensor]
    """Encoded features of all items [I, D] by content modality."""
    recency_power: float
    trained_until: float
    """Unix time of the newest positive that it was trained on."""

    @classmethod
    def of(cls, model: TrainedModel, dataset: Dataset, trained_until: float) -> "SavedWeights":
        """The weights of a model that was trained on `dataset`."""
        magnet = model.magnet
        state = {name: value.detach().cpu().clone() for name, value in magnet.state_dict().items()}
        known_I1 = magnet.known_I1.cpu()
        state["item_behaviour_ID"] *= known_I1
        encoded = magnet.encode_content(magnet.feature_IF)
        return cls(
            config=asdict(magnet.config),
            state=state,
            item_ids=dataset.item_ids,
            user_ids=dataset.user_ids,
            trust_U1=magnet.trust_U1.cpu(),
            content={
                name: x_ID.detach().cpu().clone()
                for name, x_ID in zip(dataset.features, encoded, strict=True)
            },
            recency_power=model.recency_power,
            trained_until=trained_until,
        )

    def save(self, path: Path) -> None:
        """Write one file, whole or not at all."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        write_durably(path, lambda partial: torch.save(fields, partial))

    @classmethod
    def load(cls, path: Path) -> "SavedWeights":
        """Read one file; WeightsError if it is missing or damaged."""
        try:
            return cls(**torch.load(path, map_location="cpu", weights_only=True))
        except (OSError, EOFError, RuntimeError, TypeError, UnpicklingError) as error:
            raise WeightsError(f"{path} cannot be read ({error})") from error

    def without(self, user_ids: Collection[str]) -> "SavedWeights | None":
        """The weights without what some users have of them; None if they have nothing."""
        kept = [row for row, user_id in enumerate(self.user_ids) if user_id not in user_ids]
        if len(kept) == len(self.user_ids):
            return None
        users_UD = self.state["user_behaviour_UD"][kept].clone()
        return replace(
            self,
            user_ids=[self.user_ids[row] for row in kept],
            trust_U1=self.trust_U1[kept].clone(),
            state=self.state | {"user_behaviour_UD": users_UD},
        )

    def on(self, dataset: Dataset) -> Magnet:
        """The model with the items of another data set.

        Items are matched by id; a new item has no behaviour embedding. Content encoders are fitted
        anew, by least squares, to give what they gave for the items that both data sets have:
        features that are derived from all items (TF-IDF, principal components) rotate when items
        are added, and weights for the old axes would mean nothing (ours).

        Raises:
            WeightsError: it has other content modalities.
        """
        config = MagnetConfig(**self.config | {"modalities": tuple(self.config["modalities"])})
        if config.modalities != (BEHAVIOUR, *dataset.features):
            raise WeightsError(
                f"the live model knows {', '.join(config.modalities)}, the data have "
                f"{', '.join((BEHAVIOUR, *dataset.features))}"
            )
        popularity_I = np.bincount(dataset.train.indices, minlength=len(dataset.item_ids))
        features = [torch.from_numpy(Standardisation.of(x)(x)) for x in dataset.features.values()]
        magnet = Magnet(
            config,
            features=features,
            popularity_I=torch.from_numpy(popularity_I),
            trust_U=rows_by_id(self.trust_U1, self.user_ids, dataset.user_ids).flatten(),
            generator=torch.Generator(),
        )
        row_of = {item_id: row for row, item_id in enumerate(self.item_ids)}
        old_I = torch.tensor([row_of.get(item_id, -1) for item_id in dataset.item_ids])
        common_C, old_C = torch.nonzero(old_I >= 0).flatten(), old_I[old_I >= 0]
        behaviour_ID = torch.zeros_like(magnet.item_behaviour_ID)
        behaviour_ID[common_C] = self.state["item_behaviour_ID"][old_C]
        user_behaviour_UD = rows_by_id(
            self.state["user_behaviour_UD"], self.user_ids, dataset.user_ids
        )
        state = self.state | {
            "item_behaviour_ID": behaviour_ID,
            "user_behaviour_UD": user_behaviour_UD,
        }
        for place, (x_IF, encoded_ID) in enumerate(
            zip(features, self.content.values(), strict=True)
        ):
            fitted_FD = torch.linalg.lstsq(
                x_IF[common_C].double(), encoded_ID[old_C].double(), driver="gelsd"
            ).solution
            state[f"encoders.{place}.weight"] = fitted_FD.T.float().contiguous()
        try:
            magnet.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError("the live model's weights are of another release") from error
        return magnet.eval()


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveModel:
    """What is known of the live version."""

    version: str | None
    weights: SavedWeights | None
    """None if it cannot be compared with, nor be started from."""
    why_not: str
    """The reason, for people; empty if there are weights."""
    run: RunRecord | None
    """The run that made it."""

    @property
    def newest_event(self) -> datetime | None:
        """When the newest event that it was trained on was received; None if there is none."""
        return None if self.run is None else self.run.newest_event

    def nothing_new(self, inputs: str, new_events: int, needed: int) -> str:
        """Why another run would make the same model again; empty if it would not.

        Args:
            inputs: digest of data folder and settings, as in a run's record.
            new_events: since its own run.
            needed: how many are worth a run.
        """
        if self.run is None or self.run.inputs != inputs or new_events >= needed:
            return ""
        return f"{new_events} new events since {self.version} was made, {needed} are needed"


def find_live_model(runs: Runs, live: str | None, tested_from: float) -> LiveModel:
    """What is known of the live version.

    Args:
        runs: all runs of this state folder.
        live: its name.
        tested_from: Unix time of the oldest test positive; a model that was trained on any of them
            has seen the answers.
    """
    made = runs.of_version(live)
    weights, why_not = None, ""
    if live is None:
        why_not = "nothing is live yet"
    elif made is None:
        why_not = (
            f"{live} was not made by a retraining with this state folder, so it may have been "
            "trained on what would test it (the next run goes on from what this one makes)"
        )
    else:
        try:
            weights = SavedWeights.load(made[0].weights)
        except WeightsError as error:
            why_not = str(error)
    if weights is not None and weights.trained_until >= tested_from:
        weights, why_not = None, f"{live} was trained on part of what would test it"
    return LiveModel(
        version=live, weights=weights, why_not=why_not, run=None if made is None else made[1]
    )
