"""Baselines: strong models that MAGNET is compared with, tuned on validation.

Knows training and validation positives, and content where a model uses it; nothing in here reads
the test part.
"""

from training.baselines.baseline import BaselineError, Deadline
from training.baselines.catalogue import CATALOGUE, Baseline, ClosedForm
from training.baselines.tuning import Tuned, fit, thinned_validation, tune

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
