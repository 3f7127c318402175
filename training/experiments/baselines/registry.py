"""The baselines by name: how reports call them and among which settings validation chooses.

Knows settings only. Where a grid cannot be finished in time its later settings are left untried,
so the first is the one to trust on a data set that nothing is known of.
"""

# FOLDED training/experiments/baselines/registry.py: Choosing a baseline's settings on the validation part, within a time limit.
#
#   Knows settings and validation positives; nothing here reads the test part.
#

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from training.data.dataset import Dataset
from training.evaluate.protocol import evaluate, some_users
from training.experiments.baselines.base import Deadline, Fitted, Popularity
from training.experiments.baselines.ease import EASE, RecencyEASE
from training.experiments.baselines.freedom import Freedom
from training.experiments.baselines.item_knn import ItemKNN
from training.experiments.baselines.lightgcn import LightGCN
from training.experiments.baselines.random_walk import P3Alpha, RP3Beta
from training.experiments.baselines.vbpr import VBPR

ClosedForm = Popularity | ItemKNN | P3Alpha | RP3Beta | EASE | RecencyEASE
Trained = LightGCN | VBPR | Freedom
Baseline = ClosedForm | Trained


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One kind of baseline."""

    label: str
    grid: tuple[Baseline, ...]
    uses_content: bool = False


CATALOGUE = {
    "popularity": Entry(label="popularity", grid=(Popularity(),)),
    "item_knn": Entry(
        label="ItemKNN",
        grid=tuple(
            ItemKNN(neighbours=n, shrinkage=s, user_damping=d)
            for d, s, n in product((0.5, 0.0), (10.0, 0.0, 100.0), (50, 200, 20, 10, 5))
        ),
    ),
    "p3alpha": Entry(
        label="P3alpha",
        grid=tuple(
            P3Alpha(alpha=a, neighbours=n)
            for n, a in product((400, 100), (0.8, 1.0, 0.6, 1.2, 0.4))
        ),
    ),
    "rp3beta": Entry(
        label="RP3beta",
        grid=tuple(
            RP3Beta(alpha=a, beta=b, neighbours=n)
            for n, b, a in product((100, 400), (0.4, 0.6, 0.2, 0.7, 0.8), (0.6, 0.8, 0.4, 1.0, 0.2))
        ),
    ),
    "ease": Entry(
        label="EASE",
        grid=tuple(
            EASE(penalty=p, user_damping=d)
            for p, d in product((100.0, 200.0, 30.0, 500.0, 10.0), (0.0, 0.5))
        ),
    ),
    "ease_recency": Entry(
        label="EASE, recency-weighted histories",
        grid=tuple(
            RecencyEASE(ease=EASE(penalty=p, user_damping=d), power=a)
            for p, d, a in product((200.0, 500.0), (0.0, 0.5), (0.5, 0.75, 0.25))
        ),
    ),
    "lightgcn_bpr": Entry(
        label="LightGCN, BPR",
        grid=tuple(
            LightGCN(loss="bpr", num_layers=layers, l2=l2)
            for layers, l2 in product((2, 3), (1e-3, 1e-2))
        ),
    ),
    "lightgcn_ssm": Entry(
        label="LightGCN, sampled softmax",
        grid=tuple(
            LightGCN(loss="sampled-softmax", num_layers=layers, temperature=temperature)
            for layers, temperature in product((2, 3), (0.15, 0.2, 0.1))
        ),
    ),
    "vbpr": Entry(
        label="VBPR",
        grid=tuple(VBPR(l2=l2) for l2 in (1e-1, 1e-2, 1.0)),
        uses_content=True,
    ),
    "freedom": Entry(
        label="FREEDOM",
        grid=tuple(
            Freedom(dropped=dropped, l2=l2)
            for l2, dropped in product((1e-3, 1e-2), (0.5, 0.8, 0.2))
        ),
        uses_content=True,
    ),
}


log = logging.getLogger(__name__)


VALIDATION_USERS = 5000
"""Where more users have validation positives, so many are drawn: the standard error of a mean over
them is below 0.007 whatever the metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """The settings that rank validation positives best."""

    baseline: Baseline
    fitted: Fitted
    """With the seed of the tuning."""
    fit_seconds: float
    valid_ndcg20: float
    tried: int
    """Settings tried; fewer than given if time was short."""


def fit(baseline: Baseline, dataset: Dataset, seed: int, deadline: Deadline) -> Fitted:
    """Fit to the training part; closed forms know neither seed nor deadline."""
    if isinstance(baseline, ClosedForm):
        return Fitted(score=baseline.fit(dataset))
    return baseline.fit(dataset, seed, deadline)


def tune(
    candidates: Sequence[Baseline], dataset: Dataset, *, seed: int, max_seconds: float
) -> Tuned:
    """The candidate that ranks validation positives best by NDCG@20.

    Args:
        candidates: tried in this order; the first one always.
        dataset: its validation part may be thinned, see `thinned_validation`.
        seed: of candidates with randomness.
        max_seconds: no further candidate or epoch is begun after them.

    Raises:
        BaselineError: this kind of baseline cannot be fitted to this data set.
    """
    deadline = Deadline.after(max_seconds)
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
        if deadline.passed:
            break
    assert best is not None
    return replace(best, tried=tried)


def thinned_validation(dataset: Dataset, max_users: int = VALIDATION_USERS) -> Dataset:
    """The data set with validation positives of at most so many users, drawn with a fixed seed."""
    valid = some_users(dataset.valid, max_users)
    return dataset if valid is dataset.valid else replace(dataset, valid=valid)
