"""The results of the simulated days as Markdown, as a picture and as JSON.

Letters: N interactions in the order of their times, U users.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

from training.experiments.figures import Lead
from training.reporting.charts import INK, Panel, Series, draw_lines
from training.reporting.documents import table
from training.retrain.runs import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The interactions `start` to `stop`, the last one left out."""

    name: str
    start: int
    stop: int


def dates(seconds_N: NDArray[np.float64], first: date, number: int) -> list[Day]:
    """Days of the calendar (UTC), from `first` on."""
    named = [first + timedelta(days=n) for n in range(number + 1)]
    midnights = [datetime(x.year, x.month, x.day, tzinfo=UTC).timestamp() for x in named]
    at = np.searchsorted(seconds_N, midnights).tolist()
    return [
        Day(name=name.isoformat(), start=start, stop=stop)
        for name, (start, stop) in zip(named, pairwise(at), strict=False)
    ]


def equal_parts(seconds_N: NDArray[np.float64], share: float, number: int) -> list[Day]:
    """The newest `share` of the interactions in parts of equal size, named by their first dates."""
    total = len(seconds_N)
    at = np.linspace(round((1 - share) * total), total, number + 1).round().astype(int).tolist()
    return [
        Day(
            name=f"{datetime.fromtimestamp(seconds_N[start], UTC):%Y-%m-%d}", start=start, stop=stop
        )
        for start, stop in pairwise(at)
    ]


NIGHTLY, FROZEN, WITH_SESSIONS = "nightly", "frozen", "frozen with sessions"
SERVICES = {
    NIGHTLY: "retrained every night",
    FROZEN: "the model of the start",
    WITH_SESSIONS: "the model of the start, with what the user has liked since in each request",
}
MORNING, LIVE = "morning", "live"
WITHIN_A_DAY = {
    MORNING: "retrained every night, no live events",
    LIVE: "retrained every night, and live events since",
}
KNOWN, JOINED, NEW = "there at the start", "come since", "on their first day"
GROUPS = (KNOWN, JOINED, NEW)
LENGTH = 20
"""Length of the lists."""
METRICS = (f"recall@{LENGTH}", f"ndcg@{LENGTH}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One user on one day: lists were asked for before it, and compared with what they liked."""

    user_id: str
    group: str
    """One of `GROUPS`."""
    value: dict[str, dict[str, float]]
    """Metrics of the day's list, by service and metric."""
    next_like: dict[str, dict[str, float]]
    """Mean over the day's likes of the list before each, by `MORNING` or `LIVE` and metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOutcome:
    """One day after the night before it."""

    day: Day
    night: RunRecord
    """Record of the retraining on everything before the day."""
    cpu_seconds: float
    """Processor time of that retraining."""
    visits: tuple[Visit, ...]


@dataclass(slots=True, kw_only=True)
class Simulation:
    """Days so far."""

    dataset: str
    first: Day
    """Both services have the same model on it, so it is not measured."""
    start: RunRecord
    """The run that made that model."""
    days: list[DayOutcome] = field(default_factory=list)

    def visits(self, days: int | None = None, group: str | None = None) -> list[Visit]:
        """Visits of the first `days` days (None: all) by one group (None: all groups)."""
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
    return Lead.between(one_U, other_U)


def _per_user(visits: Iterable[Visit], service: str, metric: str) -> NDArray[np.float64]:
    """Each user's mean over their days [U], in the order of first visits."""
    values: dict[str, list[float]] = {}
    for visit in visits:
        of = visit.next_like if service in WITHIN_A_DAY else visit.value
        values.setdefault(visit.user_id, []).append(of[service][metric])
    return np.array([np.mean(each) for each in values.values()])


_COLOURS = {NIGHTLY: "#0072b2", FROZEN: "#d55e00", WITH_SESSIONS: "#009e73"}
"""Told apart by people of any colour vision (Okabe and Ito)."""
_TITLES = {"recall@20": "Recall@20", "ndcg@20": "NDCG@20"}


def as_markdown(simulation: Simulation, command: str, picture: str | None) -> str:
    """The data set's section; `command` is what made it, `picture` where its plot lies."""
    last = simulation.days[-1]
    parts = [
        f"### {simulation.dataset}: {simulation.first.name} to {last.day.name}",
        f"{len(simulation.days)} nights. Made by:",
        f"```console\n{command}\n```",
        _groups(simulation),
        _leads(simulation.visits()),
        _within_a_day(simulation.visits()),
        _nights(simulation),
    ]
    if picture is not None:
        parts.append(f"![Quality so far and the lead of nightly retraining]({picture})")
    parts.append(f"Night by night:\n\n{_by_night(simulation)}")
    return "\n\n".join(parts)


def _groups(simulation: Simulation) -> str:
    """Quality of all services, for everybody and for each group."""
    header = ["users", "user-days", *(f"{t}, {s}" for s in SERVICES for t in _TITLES.values())]
    rows = []
    for group in (None, *GROUPS):
        visits = simulation.visits(group=group)
        if visits:
            values = (quality(visits, s, m) for s in SERVICES for m in METRICS)
            rows.append([group or "all", str(len(visits)), *(f"{value:.4f}" for value in values)])
    return table(header, rows)


def _leads(visits: list[Visit]) -> str:
    lines = []
    for other in (FROZEN, WITH_SESSIONS):
        leads = {metric: lead(visits, NIGHTLY, other, metric) for metric in METRICS}
        said = ", ".join(f"{_TITLES[m]} {x}" for m, x in leads.items() if x)
        lines.append(f"- retrained every night minus {SERVICES[other]}: {said or 'nobody came'}")
    return "\n".join(lines)


def _within_a_day(visits: list[Visit]) -> str:
    """How well the list before each like has that item, with live events and without."""
    header = ["the item liked next", *_TITLES.values()]
    rows = [
        [words, *(_figure(quality(visits, way, metric)) for metric in METRICS)]
        for way, words in WITHIN_A_DAY.items()
    ]
    leads = {metric: lead(visits, LIVE, MORNING, metric) for metric in METRICS}
    said = ", ".join(f"{_TITLES[m]} {x}" for m, x in leads.items() if x) or "nobody came"
    return f"{table(header, rows)}\n\n- live events minus none: {said}"


def _nights(simulation: Simulation) -> str:
    count = Counter(day.night.result for day in simulation.days)
    seconds = [day.cpu_seconds for day in simulation.days]
    results = ", ".join(f"{number} {result}" for result, number in count.most_common())
    return (
        f"Nights: {results}; {sum(day.night.warm for day in simulation.days)} from the live "
        f"model's weights. Processor seconds: {median(seconds):.1f} in the median, "
        f"{max(seconds):.1f} at most."
    )


def _by_night(simulation: Simulation) -> str:
    header = [
        "day", "new events", "the night before", "users", "NDCG@20 nightly", "frozen",
        "with sessions", "nightly minus frozen so far",
    ]  # fmt: skip
    rows = []
    for place, day in enumerate(simulation.days, 1):
        so_far = lead(simulation.visits(place), NIGHTLY, FROZEN, "ndcg@20")
        rows.append(
            [
                day.day.name,
                str(day.night.new_events),
                _result_text(day.night),
                str(len(day.visits)),
                *(_figure(quality(day.visits, service, "ndcg@20")) for service in SERVICES),
                str(so_far or ""),
            ]
        )
    return table(header, rows)


def _result_text(night: RunRecord) -> str:
    """The result, and the reason unless it was promoted."""
    if night.result == "promoted":
        return "promoted" if night.warm else f"promoted, from scratch: {night.comparable}"
    return f"{night.result}: {night.reason}".replace("|", "/")


def _figure(value: float) -> str:
    return "" if value != value else f"{value:.4f}"  # NaN: nobody came


def progress(simulation: Simulation) -> str:
    """One line on the latest day."""
    day = simulation.days[-1]
    so_far = lead(simulation.visits(), NIGHTLY, FROZEN, "ndcg@20")
    return (
        f"{day.day.name}  {day.night.new_events:5d} new events  {day.cpu_seconds:6.1f} CPU s  "
        f"{len(day.visits):3d} users  nightly minus frozen so far, NDCG@20: "
        f"{so_far or 'nobody came'}  {_result_text(day.night)}"
    )


def draw(simulation: Simulation) -> str:
    """The SVG: quality so far of all services, and the lead with its interval."""
    visited = (n for n, day in enumerate(simulation.days, 1) if day.visits)
    days = range(next(visited, 1), len(simulation.days) + 1)
    panels = [_quality_panel(simulation, metric, days) for metric in METRICS]
    leads = [lead(simulation.visits(n), NIGHTLY, FROZEN, "ndcg@20") for n in days]
    bounds = [
        ("retrained minus frozen", [x.mean for x in leads if x], "", 2.0),
        ("upper end of 95 %", [x.high for x in leads if x], "3 3", 1.0),
        ("lower end of 95 %", [x.low for x in leads if x], "3 3", 1.0),
        ("no difference", [0.0 for _ in leads], "1 3", 1.0),
    ]
    lines = tuple(
        Series(name=name, values=tuple(values), colour=INK, dashes=dashes, width=width)
        for name, values, dashes, width in bounds
    )
    panels.append(Panel(title="Lead in NDCG@20 so far", series=lines))
    panels.append(_next_like_panel(simulation, days))
    return draw_lines(f"{simulation.dataset}: one retraining a night", panels, unit="night")


def _quality_panel(simulation: Simulation, metric: str, days: range) -> Panel:
    lines = [
        Series(
            name=service,
            values=tuple(quality(simulation.visits(n), service, metric) for n in days),
            colour=colour,
            width=2,
        )
        for service, colour in _COLOURS.items()
    ]
    return Panel(title=f"{_TITLES[metric]} so far", series=tuple(lines))


def _next_like_panel(simulation: Simulation, days: range) -> Panel:
    lines = [
        Series(
            name=way,
            values=tuple(quality(simulation.visits(n), way, "ndcg@20") for n in days),
            colour=colour,
            width=2,
        )
        for way, colour in ((LIVE, _COLOURS[NIGHTLY]), (MORNING, _COLOURS[FROZEN]))
    ]
    return Panel(title="NDCG@20 of the next like so far", series=tuple(lines))


def as_json(simulation: Simulation) -> dict[str, object]:
    """Every night, every visit and the leads, for JSON."""
    visits = simulation.visits()
    return {
        "dataset": simulation.dataset,
        "first_day": simulation.first.name,
        "leads": {
            other: {
                metric: found.as_json()
                for metric in METRICS
                if (found := lead(visits, NIGHTLY, other, metric))
            }
            for other in (FROZEN, WITH_SESSIONS)
        },
        "live": {
            metric: found.as_json()
            for metric in METRICS
            if (found := lead(visits, LIVE, MORNING, metric))
        },
        "start": simulation.start.model_dump(mode="json", exclude={"history", "changed"}),
        "days": [
            {
                "day": day.day.name,
                "interactions": day.day.stop - day.day.start,
                "cpu_seconds": day.cpu_seconds,
                "night": day.night.model_dump(mode="json", exclude={"history", "changed"}),
                "visits": [
                    {"user_id": x.user_id, "group": x.group, **x.value, **x.next_like}
                    for x in day.visits
                ],
            }
            for day in simulation.days
        ],
    }
