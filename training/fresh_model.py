"""A fresh model for a data set: its modalities, standardised features and popularity.

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

WIDEST_FEATURES = 128
"""Dimensions that are kept of wider features."""


def build_magnet(dataset: Dataset, config: TrainingConfig, generator: torch.Generator) -> Magnet:
    """A fresh model for a data set."""
    popularity_I = np.bincount(dataset.train.indices, minlength=dataset.train.shape[1])
    return Magnet(
        config.magnet((BEHAVIOUR, *dataset.features)),
        features=[torch.from_numpy(standardised(x)) for x in dataset.features.values()],
        popularity_I=torch.from_numpy(popularity_I),
        generator=generator,
    )


def standardised(features: ModalityFeatures) -> NDArray[np.float32]:
    """Centred, at most `WIDEST_FEATURES` wide, with unit mean variance; missing rows stay zero.

    Wider features are projected on their leading principal components [I, F]. One scale for all
    columns: the relative spread of an embedding's columns is information.
    """
    present_PF = features.x_IF[features.present_I].astype(np.float64)
    centred_PF = present_PF - present_PF.mean(axis=0)
    if centred_PF.shape[1] > WIDEST_FEATURES:
        _, axis_FF = np.linalg.eigh(centred_PF.T @ centred_PF)
        centred_PF = centred_PF @ axis_FF[:, : -WIDEST_FEATURES - 1 : -1]
    x_IF = np.zeros((len(features.x_IF), centred_PF.shape[1]), dtype=np.float32)
    x_IF[features.present_I] = centred_PF / max(float(centred_PF.std()), 1e-12)
    return x_IF
