"""A trained model on other data: new items and new users are embedded without training.

Letters: I items, D dimension.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from model.network.magnet import Magnet, log_popularity
from training.data.dataset import Dataset
from training.data.features import Standardisation
from training.fit.trained_model import TrainedModel


def encode_anew(model: TrainedModel, trained_on: Dataset, dataset: Dataset) -> TrainedModel:
    """The same weights with the items and users of another data set (ours).

    - An item that was trained keeps its behaviour embedding, whatever its row is now.
    - Any other item starts from its features alone: through the encoders, through its content
      neighbours, and through the users who have chosen it since.
    - Features and popularity are standardised as they were for training, because the weights fit
      that scale only. Content neighbours are found anew.

    Args:
        model: trained on `trained_on`.
        trained_on: says which items were trained, and how features and popularity were scaled.
        dataset: its training part gives the graph and the users' histories.

    Raises:
        ValueError: it has other modalities or features of another width.
    """
    if list(dataset.features) != list(trained_on.features):
        raise ValueError(
            f"{dataset.name} has the content modalities {list(dataset.features)}, the model "
            f"was trained with {list(trained_on.features)}"
        )
    trained = model.magnet
    count_I, old_count_I = _popularity(dataset), _popularity(trained_on)
    magnet = Magnet(
        trained.config,
        features=[
            torch.from_numpy(Standardisation.of(trained_on.features[name])(x))
            for name, x in dataset.features.items()
        ],
        popularity_I=count_I,
        generator=torch.Generator(),
    )
    item_behaviour_ID = trained.item_behaviour_ID.detach()
    behaviour = {
        trained_on.item_ids[row]: item_behaviour_ID[row]
        for row in old_count_I.nonzero().flatten().tolist()
    }
    unknown_D = torch.zeros_like(item_behaviour_ID[0])
    rows = [behaviour.get(item_id, unknown_D) for item_id in dataset.item_ids]
    magnet.load_state_dict(trained.state_dict() | {"item_behaviour_ID": torch.stack(rows)})
    old_I = log_popularity(old_count_I)
    spread = old_I.std(correction=0).clamp_min(1e-12)
    magnet.log_popularity_I = (log_popularity(count_I) - old_I.mean()) / spread
    magnet = magnet.to(item_behaviour_ID.device).eval()
    return replace(
        TrainedModel.of(magnet, dataset, model.recency_power),
        history=model.history,
        best_epoch=model.best_epoch,
        trigger_epoch=model.trigger_epoch,
    )


def _popularity(dataset: Dataset) -> Tensor:
    """Training positives of every item [I]."""
    return torch.from_numpy(np.bincount(dataset.train.indices, minlength=len(dataset.item_ids)))
