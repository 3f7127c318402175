"""What the models of a benchmark reached, and the leads of MAGNET over the others.

Letters: U users with test positives.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from training.evaluate.protocol import VALIDATION_MASKED, Evaluation
from training.experiments.baselines.registry import BASELINES
from training.experiments.figures import Lead, over_seeds

MAGNET = "magnet"
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20", "coverage@20")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure on which models are compared."""

    metric: str
    group: str | None
    """A group of `training.evaluate.protocol`; None for everything."""

    @property
    def name(self) -> str:
        """Name of the figure in JSON."""
        return self.metric if self.group is None else f"{self.metric} ({self.group})"


Leads = dict[Comparison, dict[str, Lead]]
"""Leads by figure and model; models without users to compare on are absent."""
COMPARED = tuple(
    Comparison(metric, group)
    for group in (None, "tail items", VALIDATION_MASKED)
    for metric in ("recall@20", "ndcg@20")
)
"""Where MAGNET is compared with baselines: overall, on the items that graph models neglect, and,
where the benchmark has it, with lists as a service would make them."""
WORTH = (*COMPARED, Comparison("recall@20", "cold items"))
"""Where it is compared with its variants: on new items too, which no baseline finds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one model reached."""

    settings: str
    tests: tuple[Evaluation, ...]
    """One per seed; a model without randomness has one in all."""
    fit_seconds: float
    """Training once with the chosen settings, mean over seeds; by the published protocol, that and
    training on validation positives too."""
    seconds_per_epoch: float | None
    """Validation included; None for a closed form."""
    peak_rss_mb: float
    """Peak memory of the whole process while this model was tuned and trained."""
    notes: tuple[str, ...] = ()
    """What a reader must know: settings left untried, training cut short, figures reused."""

    def values(self, compared: Comparison) -> list[float]:
        """One figure per seed; none if the group has no users."""
        if compared.group is None:
            return [test.metrics[compared.metric] for test in self.tests]
        groups = [test.groups.get(compared.group) for test in self.tests]
        return [group[compared.metric] for group in groups if group is not None]

    def per_user(self, compared: Comparison) -> NDArray[np.float64]:
        """One value per test user [U], averaged over seeds; NaN for a user who cannot be scored."""
        tables = [
            test.per_user if compared.group is None else test.group_per_user[compared.group]
            for test in self.tests
        ]
        return over_seeds(tables, compared.metric)


def lead(one: Outcome, other: Outcome, compared: Comparison) -> Lead | None:
    """One minus the other: users resampled in pairs; None if no user can be scored."""
    one_U, other_U = one.per_user(compared), other.per_user(compared)
    scored_U = ~np.isnan(one_U)
    return Lead.between(one_U[scored_U], other_U[scored_U]) if scored_U.any() else None


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
    published_protocol: bool = False
    """Whether the models that are tested were trained on validation positives too."""

    @property
    def baselines(self) -> dict[str, Outcome]:
        """All outcomes but MAGNET's."""
        return {name: outcome for name, outcome in self.outcomes.items() if name != MAGNET}

    def measured(self, comparisons: Iterable[Comparison]) -> tuple[Comparison, ...]:
        """Comparisons whose group has users on this data set."""
        groups = next(iter(self.outcomes.values())).tests[0].groups
        return tuple(x for x in comparisons if x.group is None or x.group in groups)

    def baseline_leads(self) -> Leads:
        """MAGNET minus each baseline."""
        return self._leads(self.baselines, COMPARED)

    def ablation_leads(self) -> Leads:
        """The full MAGNET minus each of its variants."""
        return self._leads(self.ablations, WORTH)

    def _leads(self, others: Mapping[str, Outcome], comparisons: Iterable[Comparison]) -> Leads:
        magnet = self.outcomes.get(MAGNET)
        leads: Leads = {}
        for compared in self.measured(comparisons):
            found = {name: lead(magnet, x, compared) for name, x in others.items() if magnet}
            leads[compared] = {name: each for name, each in found.items() if each is not None}
        return leads

    def line(self, compared: Comparison) -> str | None:
        """The line to pass: the baseline without content with the highest mean."""
        means = {
            name: mean(outcome.values(compared))
            for name, outcome in self.baselines.items()
            if not BASELINES[name].uses_content and outcome.values(compared)
        }
        return max(means, key=lambda name: means[name]) if means else None
