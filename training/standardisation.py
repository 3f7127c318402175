"""How a modality's features are standardised, so that others can be treated as those were.

Knows feature matrices; knows nothing about models. Letters: I items, P items with features,
F feature width, G width that is kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.modalities import ModalityFeatures

WIDEST_FEATURES = 128
"""Dimensions that are kept of wider features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardisation:
    """Centre, project on the leading principal components if too wide, scale.

    One scale for all columns: the relative spread of an embedding's columns is information.
    """

    mean_F: NDArray[np.float64]
    axis_FG: NDArray[np.float64] | None
    """None where the features are narrow enough as they are."""
    scale: float

    @classmethod
    def of(cls, features: ModalityFeatures) -> "Standardisation":
        """The one that gives these features mean zero and unit mean variance."""
        present_PF = features.x_IF[features.present_I].astype(np.float64)
        mean_F = present_PF.mean(axis=0)
        kept_PG, axis_FG = present_PF - mean_F, None
        if kept_PG.shape[1] > WIDEST_FEATURES:
            _, ascending_FF = np.linalg.eigh(kept_PG.T @ kept_PG)
            axis_FG = ascending_FF[:, : -WIDEST_FEATURES - 1 : -1]
            kept_PG = kept_PG @ axis_FG
        return cls(mean_F=mean_F, axis_FG=axis_FG, scale=max(float(kept_PG.std()), 1e-12))

    def __call__(self, features: ModalityFeatures) -> NDArray[np.float32]:
        """Standardised features [I, G]; missing rows are zero.

        Raises:
            ValueError: these features have another width.
        """
        if features.x_IF.shape[1] != len(self.mean_F):
            raise ValueError(
                f"features are {features.x_IF.shape[1]} wide, expected {len(self.mean_F)}"
            )
        kept_PG = features.x_IF[features.present_I].astype(np.float64) - self.mean_F
        if self.axis_FG is not None:
            kept_PG = kept_PG @ self.axis_FG
        x_IG = np.zeros((len(features.x_IF), kept_PG.shape[1]), dtype=np.float32)
        x_IG[features.present_I] = kept_PG / self.scale
        return x_IG
