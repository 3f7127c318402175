"""Variants of MAGNET, each without one of its pieces: what a piece is worth.

Knows settings and features only. Names and pieces follow the ablations of arXiv:2602.20723, as far
as it has them; the rest are ours. Letters: I items, F width of a feature vector.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from training.config import TrainingConfig
from training.dataset import Dataset
from training.modalities import ModalityFeatures

Features = dict[str, ModalityFeatures]


def _as_they_are(features: Features) -> Features:
    return features


def without_content(features: Features) -> Features:
    """No modality but behaviour."""
    del features
    return {}


def noise(features: Features) -> Features:
    """Normal random numbers [I, F] in the place of every modality's features."""
    generator = np.random.default_rng(0)
    return {
        name: ModalityFeatures(
            x_IF=generator.normal(size=x.x_IF.shape).astype(np.float32), present_I=x.present_I
        )
        for name, x in features.items()
    }


def first_twice(features: Features) -> Features:
    """The first modality once more under another name."""
    return features | {f"{name}_again": x for name, x in list(features.items())[:1]}


@dataclass(frozen=True, slots=True)
class Ablation:
    """One variant."""

    label: str
    changes: dict[str, object] = field(default_factory=dict)
    """Fields of TrainingConfig that differ from the full model's."""
    content: Callable[[Features], Features] = _as_they_are
    """What becomes of the data set's features."""

    def apply(self, config: TrainingConfig) -> TrainingConfig:
        """The variant's settings."""
        return TrainingConfig.model_validate(config.model_dump() | self.changes)

    def dataset(self, dataset: Dataset) -> Dataset:
        """The variant's data."""
        return replace(dataset, features=self.content(dataset.features))


ABLATIONS = {
    "no_augmented_view": Ablation("without the augmented view", {"views": "interaction"}),
    "no_experts": Ablation("without experts (plain average)", {"experts": "average"}),
    "free_experts": Ablation("without role templates (free weights)", {"experts": "free"}),
    "coverage_only": Ablation("coverage stage alone", {"stage_switch": "never"}),
    "specialisation_only": Ablation("specialisation stage alone", {"stage_switch": 0}),
    "no_routing_regularisation": Ablation(
        "without routing regularisation", {"coverage_weight": 0.0, "specialisation_weight": 0.0}
    ),
    "no_neighbourhood": Ablation("without the neighbourhood", {"neighbourhood": False}),
    "random_start": Ablation("from a random start", {"start": "random"}),
    "no_contrast": Ablation(
        "without contrastive terms", {"view_alignment": 0.0, "modality_alignment": 0.0}
    ),
    "no_cold_twins": Ablation("without cold twins", {"cold_rate": 0.0}),
    "bpr": Ablation("BPR instead of the sampled softmax", {"ranking_loss": "bpr"}),
    "uniform_users": Ablation("without damping of heavy users", {"user_damping": 0.0}),
    "uniform_negatives": Ablation("with uniform negatives", {"popularity_power": 0.0}),
    "behaviour_alone": Ablation("behaviour alone", content=without_content),
    "noise": Ablation("noise in the place of content", content=noise),
    "duplicate": Ablation("one modality twice", content=first_twice),
}
