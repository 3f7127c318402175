"""Charts as a reader of SVG sees them."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.experiments.reporting import (
    GAP,
    HEAD,
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Mark,
    Panel,
    Series,
    draw,
    round_ticks,
    spread,
)

_NUMBERS = st.floats(-1e3, 1e3)


def elements(svg: str, name: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(svg).findall(f"{{http://www.w3.org/2000/svg}}{name}")


def panel(*values: float, name: str = "line") -> Panel:
    return Panel(title="a panel", series=(Series(name=name, values=values, colour="#123456"),))


@given(low=_NUMBERS, high=_NUMBERS)
def test_ticks_are_few_even_and_enclose_all_values(low: float, high: float) -> None:
    low, high = sorted((low, high))
    ticks = round_ticks(low, high)
    slack = 1e-6 * max(1, abs(low), abs(high))
    assert 2 <= len(ticks) <= 6
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    steps = [later - earlier for earlier, later in pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps))


def test_ticks_are_round() -> None:
    assert round_ticks(0.62, 0.998) == pytest.approx([0.6, 0.7, 0.8, 0.9, 1.0])
    assert round_ticks(1, 40) == [0, 10, 20, 30, 40]
    assert round_ticks(1, 1) == pytest.approx([1, 1.001])


@given(st.lists(st.floats(0, 200), min_size=1, max_size=9).map(sorted))
def test_names_never_lie_on_each_other(y_N: list[float]) -> None:
    placed = spread(y_N)
    assert all(later - earlier > 12.9 for earlier, later in pairwise(placed))
    assert sum(placed) == pytest.approx(sum(y_N), abs=1e-6)


def test_names_that_have_room_stay() -> None:
    assert spread([10.0, 50.0, 90.0]) == [10.0, 50.0, 90.0]


def test_points_lie_where_their_values_say() -> None:
    svg = draw("title", [panel(0, 10, 5), panel(1, 2)], None)
    first, second = (
        [tuple(map(float, point.split(","))) for point in line.get("points", "").split()]
        for line in elements(svg, "polyline")
    )
    top, right = HEAD + GAP, WIDTH - RIGHT
    middle = (LEFT + right) / 2
    assert first == [(LEFT, top + HEIGHT), (middle, top), (right, top + HEIGHT / 2)]
    assert [x for x, _ in second] == [LEFT, middle]  # all panels share the epochs
    assert second[0][1] == top + GAP + 2 * HEIGHT


def test_the_mark_crosses_all_panels_at_its_epoch() -> None:
    svg = draw("title", [panel(0, 10, 5), panel(1, 2)], Mark(epoch=2, name="here"))
    marks = [line for line in elements(svg, "line") if line.get("stroke-dasharray")]
    middle, first = (LEFT + WIDTH - RIGHT) / 2, HEAD + GAP
    ends = [tuple(float(mark.get(name, 0)) for name in ("x1", "x2", "y1", "y2")) for mark in marks]
    assert ends == [(middle, middle, top, top + HEIGHT) for top in (first, first + HEIGHT + GAP)]
    assert "here" in [text.text for text in elements(svg, "text")]


def test_names_are_escaped_and_one_epoch_is_enough() -> None:
    svg = draw("a < b & c", [panel(0.5, name="x < y")], None)
    assert {"a < b & c", "x < y", "1", "epoch"} <= {text.text for text in elements(svg, "text")}
