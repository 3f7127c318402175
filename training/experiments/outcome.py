"""What the models of a benchmark reached, and by how much one leads another beyond chance.

Knows evaluations; knows nothing about how models are trained or how figures are shown.

Letters: U users with test positives, S seeds.
"""

# FOLDED training/experiments/outcome.py: The lead of one model over another, from their evaluations by several seeds.
#
#   Knows evaluations on the same target; knows nothing about models. Letters: U users, S seeds.
#

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from training.evaluate.protocol import VALIDATION_MASKED, Evaluation, paired_bootstrap
from training.experiments.baselines import CATALOGUE

MAGNET = "magnet"
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20", "coverage@20")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure on which models are compared."""

    metric: str
    group: str | None
    """A group of `training.evaluate.protocol`; None for everything."""


COMPARED = tuple(
    Comparison(metric, group)
    for group in (None, "tail items", VALIDATION_MASKED)
    for metric in ("recall@20", "ndcg@20")
)
"""Where MAGNET's leads are tested: overall, on the items that graph models neglect, and, where the
benchmark has it, with lists as a service would make them."""
WORTH = (*COMPARED, Comparison("recall@20", "cold items"))
"""Where a piece may show what it is worth: on new items too, which no baseline finds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one model reached."""

    settings: str
    tests: tuple[Evaluation, ...]
    """One per seed; a model without randomness has one in all."""
    fit_seconds: float
    """Training once with the chosen settings, mean over seeds."""
    seconds_per_epoch: float | None
    """Validation included; None for a closed form."""
    peak_rss_mb: float
    """Of the whole process while this model was tuned and trained."""
    notes: tuple[str, ...] = ()
    """What a reader must know: settings left untried, training cut short, figures reused."""

    def values(self, compared: Comparison) -> list[float]:
        """One figure per seed; none if the group has no users."""
        if compared.group is None:
            return [test.metrics[compared.metric] for test in self.tests]
        groups = [test.groups.get(compared.group) for test in self.tests]
        return [group[compared.metric] for group in groups if group is not None]

    def per_user(self, compared: Comparison) -> NDArray[np.float64]:
        """One value per test user [U], averaged over seeds; NaN where she cannot be scored."""
        tables = [
            test.per_user if compared.group is None else test.group_per_user[compared.group]
            for test in self.tests
        ]
        value_SU = np.stack([table[compared.metric] for table in tables])
        return np.asarray(value_SU.mean(axis=0), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """One model minus another on one figure, with its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """`ahead` or `behind` only if the interval bears it out, else `tie`."""
        if self.low > 0:
            return "ahead"
        return "behind" if self.high < 0 else "tie"


def lead(one: Outcome, other: Outcome, compared: Comparison) -> Lead | None:
    """One minus the other: users resampled in pairs; None if no user can be scored."""
    one_U, other_U = one.per_user(compared), other.per_user(compared)
    scored_U = ~np.isnan(one_U)
    if not scored_U.any():
        return None
    average, low, high = paired_bootstrap(one_U[scored_U], other_U[scored_U], seed=0)
    return Lead(mean=average, low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Every model's outcome on one data set."""

    dataset_name: str
    summary: str
    seeds: tuple[int, ...]
    outcomes: dict[str, Outcome]
    left_out: dict[str, str]
    """Models that could not run here, with the reason."""
    ablations: dict[str, Outcome] = field(default_factory=dict)
    """Variants of MAGNET by their names in `training.experiments.benchmark.runner`."""
    validation_users: int | None = None
    """How many users' validation positives the baselines were tuned on; None for all of them."""

    @property
    def compared(self) -> tuple[Comparison, ...]:
        """Those of `COMPARED` that were measured here."""
        return self._measured(COMPARED)

    @property
    def worth(self) -> tuple[Comparison, ...]:
        """Those of `WORTH` that were measured here."""
        return self._measured(WORTH)

    def _measured(self, comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
        measured = next(iter(self.outcomes.values())).tests[0].groups
        return tuple(c for c in comparisons if c.group is None or c.group in measured)

    def leads(self, compared: Comparison) -> dict[str, Lead]:
        """MAGNET minus each baseline; empty without MAGNET or without users to compare on."""
        return dict(self._leads(self.baselines, compared))

    def ablation_leads(self, compared: Comparison) -> dict[str, Lead]:
        """The full MAGNET minus each of its variants."""
        return dict(self._leads(self.ablations, compared))

    def line(self, compared: Comparison) -> str | None:
        """The line to pass: the baseline without content with the highest mean."""
        means = {
            name: mean(outcome.values(compared))
            for name, outcome in self.baselines.items()
            if not CATALOGUE[name].uses_content and outcome.values(compared)
        }
        return max(means, key=lambda name: means[name]) if means else None

    @property
    def baselines(self) -> dict[str, Outcome]:
        """All outcomes but MAGNET's."""
        return {name: outcome for name, outcome in self.outcomes.items() if name != MAGNET}

    def _leads(
        self, others: dict[str, Outcome], compared: Comparison
    ) -> Iterator[tuple[str, Lead]]:
        magnet = self.outcomes.get(MAGNET)
        for name, outcome in others.items():
            found = lead(magnet, outcome, compared) if magnet else None
            if found is not None:
                yield name, found


def paired_lead(one: Sequence[Evaluation], other: Sequence[Evaluation], metric: str) -> Lead:
    """One minus the other: each user's value averaged over seeds, users resampled in pairs."""
    average, low, high = paired_bootstrap(_per_user(one, metric), _per_user(other, metric), seed=0)
    return Lead(mean=average, low=low, high=high)


def _per_user(tests: Sequence[Evaluation], metric: str) -> NDArray[np.float64]:
    value_SU = np.stack([test.per_user[metric] for test in tests])
    return np.asarray(value_SU.mean(axis=0), dtype=np.float64)
