"""Variants of MAGNET, each without one of its pieces: what a piece is worth.

Knows settings only. Names and pieces follow the ablations of arXiv:2602.20723, as far as it has
them; the rest are ours.
"""

from dataclasses import dataclass

from training.config import TrainingConfig


@dataclass(frozen=True, slots=True)
class Ablation:
    """One variant."""

    label: str
    changes: dict[str, object]
    """Fields of TrainingConfig that differ from the full model's."""

    def apply(self, config: TrainingConfig) -> TrainingConfig:
        """The variant's settings."""
        return TrainingConfig.model_validate(config.model_dump() | self.changes)


ABLATIONS = {
    "no_augmented_view": Ablation("without the augmented view", {"views": "interaction"}),
    "no_experts": Ablation("without experts (plain average)", {"experts": "average"}),
    "free_experts": Ablation("without role templates (free weights)", {"experts": "free"}),
    "coverage_only": Ablation("coverage stage alone", {"stage_switch": "never"}),
    "specialisation_only": Ablation("specialisation stage alone", {"stage_switch": 0}),
    "no_routing_regularisation": Ablation(
        "without routing regularisation", {"coverage_weight": 0.0, "specialisation_weight": 0.0}
    ),
    "no_contrast": Ablation(
        "without contrastive terms", {"view_alignment": 0.0, "modality_alignment": 0.0}
    ),
    "bpr": Ablation("BPR instead of the sampled softmax", {"ranking_loss": "bpr"}),
    "uniform_users": Ablation("without damping of heavy users", {"user_damping": 0.0}),
    "uniform_negatives": Ablation("with uniform negatives", {"popularity_power": 0.0}),
}
