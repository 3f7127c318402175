"""A fresh model for a data set: its modalities, standardised features and log-popularity.

Knows data sets and the model's constructor; knows nothing about training. Letters: I items,
F feature width, P items with features.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from model.config import BEHAVIOUR
from model.magnet import Magnet
from training.config import TrainingConfig
from training.dataset import Dataset
from training.modalities import ModalityFeatures


def build_magnet(dataset: Dataset, config: TrainingConfig, generator: torch.Generator) -> Magnet:
    """A fresh model for a data set."""
    modalities = (BEHAVIOUR, *dataset.features)
    popularity_I = np.log1p(np.bincount(dataset.train.indices, minlength=dataset.train.shape[1]))
    popularity_I = (popularity_I - popularity_I.mean()) / max(float(popularity_I.std()), 1e-12)
    return Magnet(
        config.magnet(modalities),
        features=[torch.from_numpy(_standardised(x)) for x in dataset.features.values()],
        log_popularity_I=torch.from_numpy(popularity_I.astype(np.float32)),
        generator=generator,
    )


def _standardised(features: ModalityFeatures) -> NDArray[np.float32]:
    """Centred, with unit mean variance over the present rows; missing rows stay zero [I, F].

    One scale for all columns: the relative spread of an embedding's columns is information.
    """
    x_IF = features.x_IF.copy()
    present_PF = x_IF[features.present_I]
    centred_PF = present_PF - present_PF.mean(axis=0)
    x_IF[features.present_I] = centred_PF / max(float(centred_PF.std()), 1e-12)
    return x_IF
