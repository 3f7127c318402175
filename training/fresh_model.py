"""A fresh model for a data set: its modalities, standardised features and popularity.

Knows data sets and the model's constructor; knows nothing about training. Letters: I items.
"""

import numpy as np
import torch

from model.config import BEHAVIOUR
from model.magnet import Magnet
from training.config import TrainingConfig
from training.dataset import Dataset
from training.spectral import spectral_start
from training.standardisation import Standardisation


def build_magnet(dataset: Dataset, config: TrainingConfig, generator: torch.Generator) -> Magnet:
    """A fresh model for a data set."""
    popularity_I = np.bincount(dataset.train.indices, minlength=dataset.train.shape[1])
    magnet = Magnet(
        config.magnet((BEHAVIOUR, *dataset.features)),
        features=[torch.from_numpy(Standardisation.of(x)(x)) for x in dataset.features.values()],
        popularity_I=torch.from_numpy(popularity_I),
        generator=generator,
    )
    if config.start == "spectral":
        start_ID = torch.from_numpy(spectral_start(dataset.train, config.embedding_dim))
        with torch.no_grad():
            magnet.item_behaviour_ID[:, : start_ID.shape[1]] = start_ID
    return magnet
