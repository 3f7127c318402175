"""The baselines by name, and the choice of their settings on the validation part."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from training.data.dataset import Dataset
from training.evaluate.closed_forms import ClosedForm
from training.evaluate.protocol import evaluate, some_users
from training.experiments.baselines import (
    freedom,
    graph_filters,
    item_item,
    lightgcn,
    vbpr,
)
from training.experiments.baselines.base import Baseline, Fitted

BASELINES = {
    "popularity": item_item.POPULARITY,
    "item_knn": item_item.ITEM_KNN,
    "item_knn_residual": item_item.ITEM_KNN_RESIDUAL,
    "p3alpha": item_item.P3ALPHA,
    "rp3beta": item_item.RP3BETA,
    "ease": item_item.EASE_ENTRY,
    "ease_recency": item_item.RECENCY_EASE,
    "linkprop": graph_filters.LINKPROP_ENTRY,
    "gfcf": graph_filters.GFCF_ENTRY,
    "bspm": graph_filters.BSPM_ENTRY,
    "chebycf": graph_filters.CHEBYCF_ENTRY,
    "lightgcn_bpr": lightgcn.LIGHTGCN_BPR,
    "lightgcn_ssm": lightgcn.LIGHTGCN_SOFTMAX,
    "vbpr": vbpr.ENTRY,
    "freedom": freedom.ENTRY,
}
"""All baselines in the order of reports; docs/contributing.md says how to add one."""

log = logging.getLogger(__name__)

VALIDATION_USERS = 5000
"""Where more users have validation positives, so many are drawn: the standard error of a mean over
them is below 0.007 whatever the metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """The settings that rank validation positives best."""

    baseline: Baseline
    fitted: Fitted
    """Model that was fitted with the seed of the tuning."""
    fit_seconds: float
    valid_ndcg20: float
    tried: int
    """Settings tried; fewer than given if time was short."""


def fit(baseline: Baseline, dataset: Dataset, seed: int, deadline: float) -> Fitted:
    """Fit to the training part; a closed form needs neither seed nor deadline."""
    if isinstance(baseline, ClosedForm):
        return Fitted(score=baseline.fit(dataset))
    return baseline.fit(dataset, seed, deadline)


def refit(baseline: Baseline, dataset: Dataset, seed: int, epochs: int) -> Fitted:
    """Fit for so many epochs without validation; a closed form needs neither seed nor epochs."""
    if isinstance(baseline, ClosedForm):
        return Fitted(score=baseline.fit(dataset))
    return baseline.fit_epochs(dataset, seed, epochs)


def tune(
    candidates: Sequence[Baseline], dataset: Dataset, *, seed: int, max_seconds: float
) -> Tuned:
    """The candidate that ranks validation positives best by NDCG@20.

    Candidates are tried in order, the first one always; after `max_seconds` no further candidate
    or epoch begins. BaselineError if this kind cannot be fitted to this data set.
    """
    deadline = time.monotonic() + max_seconds
    best: Tuned | None = None
    for tried, candidate in enumerate(candidates, 1):
        start = time.monotonic()
        fitted = fit(candidate, dataset, seed, deadline)
        fit_seconds = time.monotonic() - start
        value = evaluate(fitted.score, dataset, dataset.valid, ks=(20,)).metrics["ndcg@20"]
        log.info(f"{candidate}: validation NDCG@20 {value:.4f} after {fit_seconds:.1f} s")
        if best is None or value > best.valid_ndcg20:
            best = Tuned(
                baseline=candidate,
                fitted=fitted,
                fit_seconds=fit_seconds,
                valid_ndcg20=value,
                tried=tried,
            )
        if time.monotonic() >= deadline:
            break
    assert best is not None
    return replace(best, tried=tried)


def thinned_validation(dataset: Dataset, max_users: int = VALIDATION_USERS) -> Dataset:
    """The data set with validation positives of at most so many users, drawn with a fixed seed."""
    valid = some_users(dataset.valid, max_users)
    return dataset if valid is dataset.valid else replace(dataset, valid=valid)
