"""What each way of serving withheld users or items reached, and what it lacks of full retraining.

Knows evaluations; knows nothing about how they came about or are shown.
"""

from dataclasses import dataclass
from typing import Literal

from training.benchmark.outcome import Lead
from training.benchmark.paired import paired_lead
from training.evaluation import Evaluation

Way = Literal[
    "retrained", "reencoded", "folded_in", "content_only", "content_knn", "popularity", "random"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOutcome:
    """What one way reached."""

    settings: str
    """Empty where there is nothing to set."""
    tests: tuple[Evaluation, ...]
    """One per seed."""
    seconds: float
    """To train, or else to take in what was withheld; mean over seeds."""

    def values(self, metric: str) -> list[float]:
        """One figure per seed."""
        return [test.metrics[metric] for test in self.tests]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The same test positives of the same users, served in several ways."""

    outcomes: dict[Way, WayOutcome]
    """`retrained` is among them: its model was trained with what the others were not."""

    @property
    def users(self) -> int:
        """Whose test positives are averaged over."""
        return len(self.outcomes["retrained"].tests[0].users)

    def lead(self, way: Way, other: Way, metric: str) -> Lead:
        """One way minus another, users resampled in pairs."""
        return paired_lead(self.outcomes[way].tests, self.outcomes[other].tests, metric)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdUsers:
    """Users who were withheld from training."""

    withheld: int
    ways: Ways


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdItems:
    """Items whose interactions were withheld from training."""

    withheld: int
    with_content: int
    """How many of them have features in at least one modality."""
    among_all: Ways
    """Every item is ranked."""
    among_withheld: Ways
    """Only the withheld items are ranked."""
    overall: Ways
    """Every item is ranked, and all test positives count: what the withheld items displace."""
    listed: dict[Way, float]
    """Share of the places in all test users' lists that withheld items take."""
    wanted: float
    """Share of all test positives that are withheld items."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart:
    """Both on one data set."""

    dataset_name: str
    summary: str
    seeds: tuple[int, ...]
    share: float
    users: ColdUsers
    items: ColdItems | None
    """None without content: nothing but interactions could tell one item from another."""
