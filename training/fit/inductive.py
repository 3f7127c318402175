"""A trained model on other data: new items and new users are embedded without training.

Letters: I items, D dimension.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from model.network.magnet import Magnet, log_popularity
from training.data.dataset import Dataset
from training.data.features import Standardisation
from training.fit.trained_model import TrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class InductiveEncoder:
    """Encodes any data set of the same modalities with one model's weights (ours).

    - An item that was trained keeps its behaviour embedding, whatever its row is now.
    - Any other item starts from its features alone: through the encoders, through its content
      neighbours, and through the users who have chosen it since.
    - Features and popularity are standardised as they were for training, because the weights fit
      that scale only. Content neighbours are found anew.
    """

    model: TrainedModel
    behaviour: dict[str, Tensor]
    """The embedding [D] of every item that was trained from interactions."""
    standardisations: dict[str, Standardisation]
    log_popularity_mean: float
    log_popularity_std: float

    @classmethod
    def of(cls, model: TrainedModel, trained_on: Dataset) -> "InductiveEncoder":
        """A model with the statistics of its own data set."""
        count_I = _popularity(trained_on)
        log_popularity_I = log_popularity(count_I)
        item_behaviour_ID = model.magnet.item_behaviour_ID.detach()
        return cls(
            model=model,
            behaviour={
                trained_on.item_ids[row]: item_behaviour_ID[row]
                for row in count_I.nonzero().flatten().tolist()
            },
            standardisations={
                name: Standardisation.of(x) for name, x in trained_on.features.items()
            },
            log_popularity_mean=float(log_popularity_I.mean()),
            log_popularity_std=max(float(log_popularity_I.std(correction=0)), 1e-12),
        )

    def encode(self, dataset: Dataset) -> TrainedModel:
        """The same model with the items and users of another data set.

        Args:
            dataset: its training part gives the graph and the users' histories.

        Raises:
            ValueError: it has other modalities or features of another width.
        """
        model = TrainedModel.of(self._magnet(dataset), dataset, self.model.recency_power)
        return replace(
            model,
            history=self.model.history,
            best_epoch=self.model.best_epoch,
            trigger_epoch=self.model.trigger_epoch,
        )

    def _magnet(self, dataset: Dataset) -> Magnet:
        """The weights around the items of `dataset`."""
        if list(dataset.features) != list(self.standardisations):
            raise ValueError(
                f"{dataset.name} has the content modalities {list(dataset.features)}, the model "
                f"was trained with {list(self.standardisations)}"
            )
        trained = self.model.magnet
        count_I = _popularity(dataset)
        magnet = Magnet(
            trained.config,
            features=[
                torch.from_numpy(self.standardisations[name](x))
                for name, x in dataset.features.items()
            ],
            popularity_I=count_I,
            generator=torch.Generator(),
        )
        unknown_D = torch.zeros_like(trained.item_behaviour_ID[0])
        rows = [self.behaviour.get(item_id, unknown_D) for item_id in dataset.item_ids]
        magnet.load_state_dict(trained.state_dict() | {"item_behaviour_ID": torch.stack(rows)})
        magnet.log_popularity_I = (
            log_popularity(count_I) - self.log_popularity_mean
        ) / self.log_popularity_std
        return magnet.to(trained.item_behaviour_ID.device).eval()


def _popularity(dataset: Dataset) -> Tensor:
    """Training positives of every item [I]."""
    return torch.from_numpy(np.bincount(dataset.train.indices, minlength=len(dataset.item_ids)))
