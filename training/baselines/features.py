"""Content features as the baselines take them: all modalities, standardised.

Knows features; knows nothing about models. Letters: I items, F width of a modality.
"""

import numpy as np
from numpy.typing import NDArray

from training.baselines.baseline import BaselineError
from training.dataset import Dataset
from training.standardisation import Standardisation


def content_features(dataset: Dataset, model: str) -> dict[str, NDArray[np.float32]]:
    """Standardised features [I, F] of every modality, zero where missing.

    Raises:
        BaselineError: there is no content; `model` is named as the one that needs it.
    """
    if not dataset.features:
        raise BaselineError(
            f"{model} is left out: it needs content, and {dataset.name} has behaviour alone"
        )
    return {name: Standardisation.of(x)(x) for name, x in dataset.features.items()}
