"""What a simulation's figures look like."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from deploy.benchmarks.lifecycle.report import (
    FROZEN,
    JOINED,
    KNOWN,
    LIVE,
    MORNING,
    NIGHTLY,
    WITH_SESSIONS,
    Day,
    DayOutcome,
    Simulation,
    Visit,
    as_json,
    as_markdown,
    draw,
    lead,
    progress,
    quality,
)
from training.retrain.runs import Result, RunRecord


def night(result: Result, reason: str = "") -> RunRecord:
    record = RunRecord(run_id="r", namespace=NIGHTLY, started_at=datetime(2026, 1, 1, tzinfo=UTC))
    record.warm = True
    record.end(result, reason)
    return record


def visit(user_id: str, group: str, nightly: float, frozen: float) -> Visit:
    values = {NIGHTLY: nightly, FROZEN: frozen, WITH_SESSIONS: frozen}
    value = {name: {"recall@20": x, "ndcg@20": x / 2} for name, x in values.items()}
    next_like = {LIVE: value[NIGHTLY], MORNING: value[FROZEN]}
    return Visit(user_id=user_id, group=group, value=value, next_like=next_like)


@pytest.fixture
def simulation() -> Simulation:
    def days() -> Iterator[DayOutcome]:
        told = [
            (night("unchanged", "nothing | new"), ()),
            (night("promoted"), (visit("a", KNOWN, 0.9, 0.3), visit("b", JOINED, 0.5, 0.1))),
            (night("refused", "routers: too low"), (visit("a", KNOWN, 0.5, 0.3),)),
        ]
        for n, (record, visits) in enumerate(told):
            day = Day(name=f"day {n + 1}", start=n, stop=n + 1)
            yield DayOutcome(day=day, night=record, cpu_seconds=n, visits=visits)

    first = Day(name="day 0", start=0, stop=0)
    return Simulation(dataset="shop", first=first, start=night("promoted"), days=list(days()))


def test_a_user_counts_once_however_often_they_come(simulation: Simulation) -> None:
    assert quality(simulation.visits(), NIGHTLY, "recall@20") == pytest.approx((0.7 + 0.5) / 2)
    found = lead(simulation.visits(), NIGHTLY, FROZEN, "recall@20")
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((0.4, 0.4, 0.4))
    assert lead(simulation.visits(1), NIGHTLY, FROZEN, "recall@20") is None
    assert len(simulation.visits(2)) == 2
    assert [x.user_id for x in simulation.visits(group=JOINED)] == ["b"]


def test_the_section_says_what_became_of_every_night(simulation: Simulation) -> None:
    text = re.sub(
        " +", " ", as_markdown(simulation, "python -m deploy.benchmarks.lifecycle", "month.svg")
    )
    assert "shop: day 0 to day 3" in text
    assert "| all | 3 | 0.6000 | 0.3000 | 0.2000 | 0.1000 | 0.2000 | 0.1000 |" in text
    assert "minus the model of the start: Recall@20 +0.4000 [+0.4000, +0.4000] ahead" in text
    assert "| day 1 | 0 | unchanged: nothing / new | 0 | | | | |" in text
    assert "| day 3 | 0 | refused: routers: too low | 1 | 0.2500 | 0.1500 |" in text
    assert "Nights: 1 unchanged, 1 promoted, 1 refused; 3 from the live model's weights." in text
    assert "](month.svg)" in text


def test_progress_is_one_line_on_the_latest_day(simulation: Simulation) -> None:
    line = progress(simulation)
    assert line.startswith("day 3 ")
    assert "refused: routers: too low" in line
    assert "\n" not in line


def test_the_picture_begins_when_somebody_comes(simulation: Simulation) -> None:
    picture = draw(simulation)
    groups = ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}g")
    lines = [group[0].get("d", "") for group in groups if group.get("class") == "series"]
    assert len(lines) == 3 + 3 + 4 + 2
    assert all(line.count("M") + line.count("L") == 2 for line in lines)
    assert ">night</text>" in picture


def test_the_json_holds_every_visit(simulation: Simulation) -> None:
    plain = as_json(simulation)
    assert plain["leads"]["frozen"]["recall@20"]["verdict"] == "ahead"
    assert [len(day["visits"]) for day in plain["days"]] == [0, 2, 1]
    assert [day["night"]["result"] for day in plain["days"]] == ["unchanged", "promoted", "refused"]
