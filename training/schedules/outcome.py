"""What training reached under each way of starting its second stage.

Knows records and evaluations; knows nothing about how they came about or are shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from model.contract.manifest import EpochRecord
from model.schedule import Switch
from training.benchmark.outcome import Lead
from training.benchmark.paired import paired_lead
from training.evaluation import Evaluation

TRIGGER: Switch = "entropy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training."""

    seed: int
    history: tuple[EpochRecord, ...]
    best_epoch: int
    trigger_epoch: int | None
    """The epoch after which specialisation began; None if it never did."""
    experts: tuple[str, ...]
    valid: Evaluation
    test: Evaluation

    @property
    def smallest_share_in_coverage(self) -> float | None:
        """The least that any expert had in an epoch before specialisation, 1 being a K-th.

        None if specialisation began at once.
        """
        return _smallest([x for x in self.history if x.stage == "coverage"])

    @property
    def smallest_share_at_best(self) -> float:
        """The least that any expert has in the epoch that is kept, 1 being a K-th."""
        smallest = _smallest([self.history[self.best_epoch - 1]])
        assert smallest is not None
        return smallest


def _smallest(records: Sequence[EpochRecord]) -> float | None:
    shares = [min(x.expert_shares) * len(x.expert_shares) for x in records]
    return min(shares) if shares else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedules:
    """Every schedule's runs on one data set."""

    dataset_name: str
    summary: str
    seeds: tuple[int, ...]
    runs: dict[Switch, tuple[Run, ...]]
    """One run per seed; `TRIGGER` is among them."""

    def best_fixed(self) -> Switch:
        """The fixed schedule of the highest mean validation NDCG@20."""
        fixed = [switch for switch in self.runs if switch != TRIGGER]
        return max(fixed, key=lambda x: mean(run.valid.metrics["ndcg@20"] for run in self.runs[x]))

    def lead(self, other: Switch, metric: str) -> Lead:
        """The entropy trigger minus another schedule on the test part, users in pairs."""
        one, another = ([run.test for run in self.runs[x]] for x in (TRIGGER, other))
        return paired_lead(one, another, metric)
