"""What a month brought: every night's run, and what each service's lists held on the next day.

Knows figures; knows nothing about how they came about. Letters: U users.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deploy.month.days import Day
from training.benchmark.outcome import Lead
from training.metrics import paired_bootstrap
from training.retrain.record import RunRecord

NIGHTLY, FROZEN, TOLD = "nightly", "frozen", "frozen, told"
SERVICES = {
    NIGHTLY: "retrained every night",
    FROZEN: "the model of the start",
    TOLD: "the model of the start, told with each request what the user has liked since",
}
KNOWN, JOINED, NEW = "there at the start", "come since", "on her first day"
GROUPS = (KNOWN, JOINED, NEW)
LENGTH = 20
"""Of a list."""
METRICS = (f"recall@{LENGTH}", f"ndcg@{LENGTH}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One user on one day: lists were asked for before it, and compared with what she liked."""

    user_id: str
    group: str
    """One of `GROUPS`."""
    value: dict[str, dict[str, float]]
    """By service and metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOutcome:
    """One day after the night before it."""

    day: Day
    night: RunRecord
    """Of the retraining on all that came before the day."""
    cpu_seconds: float
    """Processor time of that retraining."""
    visits: tuple[Visit, ...]


@dataclass(slots=True, kw_only=True)
class Month:
    """Days so far."""

    dataset: str
    first: Day
    """Both services have the same model on it, so it is not measured."""
    start: RunRecord
    """The run that made that model."""
    days: list[DayOutcome] = field(default_factory=list)

    def visits(self, days: int | None = None, group: str | None = None) -> list[Visit]:
        """Of the first `days` days (None: all) and of one group (None: everybody)."""
        return [
            visit
            for day in self.days[:days]
            for visit in day.visits
            if group is None or visit.group == group
        ]


def quality(visits: Iterable[Visit], service: str, metric: str) -> float:
    """Each user's days averaged, then users; NaN without visits."""
    value_U = _per_user(visits, service, metric)
    return float(value_U.mean()) if len(value_U) else float("nan")


def lead(visits: list[Visit], one: str, other: str, metric: str) -> Lead | None:
    """One service minus another, each user's days averaged, users resampled in pairs."""
    if not visits:
        return None
    one_U, other_U = (_per_user(visits, service, metric) for service in (one, other))
    mean, low, high = paired_bootstrap(one_U, other_U, seed=0)
    return Lead(mean=mean, low=low, high=high)


def _per_user(visits: Iterable[Visit], service: str, metric: str) -> NDArray[np.float64]:
    """Her days' mean [U], in the order of first visits."""
    values: dict[str, list[float]] = {}
    for visit in visits:
        values.setdefault(visit.user_id, []).append(visit.value[service][metric])
    return np.array([np.mean(each) for each in values.values()])
