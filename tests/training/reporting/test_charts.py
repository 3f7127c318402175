"""Charts as a reader of SVG sees them."""

import re
from xml.etree import ElementTree

import pytest

from training.reporting.charts import (
    COLOURS,
    INK,
    Mark,
    Panel,
    Series,
    draw_lines,
    expert_shares,
)

SVG = "{http://www.w3.org/2000/svg}"


def panel(*values: float, name: str = "line", title: str = "a panel") -> Panel:
    return Panel(title=title, series=(Series(name=name, values=values, colour="#123456"),))


def texts(svg: str) -> dict[str, ElementTree.Element]:
    return {x.text or "": x for x in ElementTree.fromstring(svg).iter(f"{SVG}text")}


def points(path: ElementTree.Element) -> list[tuple[float, float]]:
    numbers = re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path.get("d", ""))
    return [(float(x), float(y)) for x, y in numbers]


def lines(svg: str) -> list[list[tuple[float, float]]]:
    groups = ElementTree.fromstring(svg).iter(f"{SVG}g")
    return [points(group[0]) for group in groups if group.get("class") == "series"]


def test_points_lie_where_their_values_say() -> None:
    svg = draw_lines("title", [panel(0, 10, 5), panel(1, 2)])
    first, second = lines(svg)
    x_3, y_3 = zip(*first, strict=True)
    assert x_3[1] == pytest.approx((x_3[0] + x_3[2]) / 2)
    assert y_3[1] < y_3[2] < y_3[0]
    assert y_3[2] == pytest.approx((y_3[0] + y_3[1]) / 2, abs=0.01)
    assert [x for x, _ in second] == pytest.approx(x_3[:2])  # all panels share the epochs
    assert second[1][1] > y_3[0]  # the second one lies below
    ticks = {name: float(text.get("y", "")) for name, text in texts(svg).items()}
    assert ticks["10"] - y_3[1] == pytest.approx(ticks["0"] - y_3[0], abs=0.1)


def test_the_mark_crosses_all_panels_at_its_epoch() -> None:
    svg = draw_lines("title", [panel(0, 10, 5), panel(1, 2)], Mark(epoch=2, name="here"))
    dashed = [
        points(path)
        for path in ElementTree.fromstring(svg).iter(f"{SVG}path")
        if "dasharray: 5,4" in path.get("style", "")
    ]
    at = lines(svg)[0][1][0]
    assert [[x for x, _ in line] for line in dashed] == [pytest.approx([at, at])] * 2
    assert float(texts(svg)["here"].get("x", "")) == pytest.approx(at)


def test_a_mark_before_the_first_epoch_has_room() -> None:
    svg = draw_lines("title", [panel(0, 1)], Mark(epoch=0, name="from the start"))
    assert lines(svg)[0][0][0] > float(texts(svg)["from the start"].get("x", ""))


def test_names_are_escaped_and_one_epoch_is_enough() -> None:
    svg = draw_lines("a < b & c", [panel(0.5, name="x < y")], unit="night")
    assert {"a < b & c", "x < y", "1", "night", "a panel"} <= texts(svg).keys()
    assert ElementTree.fromstring(svg).findtext(f"{SVG}title") == "a < b & c"


def test_equal_values_are_one_level_line() -> None:
    ((_, low), (_, high)) = lines(draw_lines("title", [panel(0.5, 0.5 + 1e-12)]))[0]
    assert low == pytest.approx(high, abs=0.01)


def test_names_stand_in_the_order_of_the_last_values() -> None:
    series = tuple(
        Series(name=name, values=(0.5, last), colour=INK) for name, last in [("b", 2), ("a", 3)]
    )
    found = texts(draw_lines("title", [Panel(title="two", series=series)]))
    assert float(found["a"].get("y", "")) < float(found["b"].get("y", ""))


def test_experts_of_a_role_have_one_colour_and_different_dashes() -> None:
    names = ["dominant_text", "dominant_image", "balanced_1", "free"]
    shares = expert_shares(names, [[0.25] * 4, [0.4, 0.2, 0.2, 0.2]])
    text, image, balanced, free = shares.series
    assert text.values == pytest.approx((1, 1.6))
    assert text.colour == image.colour != balanced.colour
    assert text.dashes != image.dashes
    assert free.colour == INK


def test_a_page_gives_the_colours() -> None:
    series = Series(name="line", values=(1, 2), colour=COLOURS[0])
    svg = draw_lines("title", [Panel(title="panel", series=(series,))])
    assert "var(--ground, #ffffff)" in svg
    assert "stroke: var(--dominant, #0072b2)" in svg


@pytest.mark.parametrize("title", ["first", "second"])
def test_equal_data_give_equal_bytes_that_need_nothing_from_outside(title: str) -> None:
    def drawn() -> str:
        return draw_lines(title, [panel(0, 10, 5)], Mark(epoch=2, name="here"))

    svg = drawn()
    assert drawn() == svg
    assert re.findall(r"(?:href=\"|url\()(?!#)", svg) == []
    assert set(re.findall(r"https?://[^\"' ]+", svg)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_values_may_stand_elsewhere_than_at_epochs() -> None:
    one = Series(name="one", values=(0, 1, 2), at=(2.5, 5, 10), colour=INK)
    other = Series(name="other", values=(0, 1), at=(5, 10), colour=INK)
    svg = draw_lines("title", [Panel(title="two", series=(one, other))], unit="seconds")
    (left, middle, right), (begin, end) = sorted(lines(svg), key=len, reverse=True)
    assert (begin[0], end[0]) == (middle[0], right[0])
    assert middle[0] - left[0] == pytest.approx((right[0] - left[0]) / 3)
    assert left[0] - float(texts(svg)["0"].get("x", "")) > 50  # the axis begins at zero
