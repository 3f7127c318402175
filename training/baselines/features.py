"""Content features as the baselines take them: all modalities, standardised.

Knows features; knows nothing about models. Letters: I items, P items with features, F width.
"""

import numpy as np
from numpy.typing import NDArray

from training.baselines.baseline import BaselineError
from training.dataset import Dataset
from training.modalities import ModalityFeatures


def content_features(dataset: Dataset, model: str) -> dict[str, NDArray[np.float32]]:
    """Features [I, F] of every modality, centred, of unit mean variance, zero where missing.

    Raises:
        BaselineError: there is no content; `model` is named as the one that needs it.
    """
    if not dataset.features:
        raise BaselineError(
            f"{model} is left out: it needs content, and {dataset.name} has behaviour alone"
        )
    return {name: _standardised(x) for name, x in dataset.features.items()}


def _standardised(features: ModalityFeatures) -> NDArray[np.float32]:
    x_IF = np.zeros_like(features.x_IF)
    present_PF = features.x_IF[features.present_I]
    centred_PF = present_PF - present_PF.mean(axis=0)
    x_IF[features.present_I] = centred_PF / max(float(centred_PF.std()), 1e-12)
    return x_IF
