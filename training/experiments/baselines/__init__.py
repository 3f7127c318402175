"""Baselines: strong models that MAGNET is compared with, tuned on validation.

Knows training and validation positives, and content where a model uses it; nothing in here reads
the test part.
"""

from training.experiments.baselines.base import BaselineError, Deadline
from training.experiments.baselines.registry import (
    CATALOGUE,
    Baseline,
    ClosedForm,
    Tuned,
    fit,
    thinned_validation,
    tune,
)

__all__ = [
    "CATALOGUE",
    "Baseline",
    "BaselineError",
    "ClosedForm",
    "Deadline",
    "Tuned",
    "fit",
    "thinned_validation",
    "tune",
]
