"""Times and numbers, as people and programs write them."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.ingest.values import numbers, order_of, seconds

NOON = datetime(2024, 1, 5, 12, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2024, 1, 5, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1704456000", NOON),
        ("1704456000000", NOON),
        ("1704456000000000", NOON),
        ("1704456000000000000", NOON),
        ("1.704456e9", NOON),
        ("2024-01-05T12:00:00Z", NOON),
        ("2024-01-05T14:00:00+02:00", NOON),
        ("2024-01-05 12:00:00.000", NOON),
        ("2024-01-05 12:00", NOON),
        ("2024-01-05 12:00:00 UTC", NOON),
        ("05.01.2024 12:00", NOON),
        ("Fri, 05 Jan 2024 12:00:00 GMT", NOON),
        ("2024-01-05", MIDNIGHT),
        ("2024/01/05", MIDNIGHT),
        ("20240105", MIDNIGHT),
        ("5 January 2024", MIDNIGHT),
        ("Jan 5, 2024", MIDNIGHT),
        ("05/01/2024", None),
        ("2024-02-30", None),
        ("soon", None),
        ("", None),
        ("inf", None),
        ("nan", None),
    ],
)
def test_a_moment(text: str, expected: float | None) -> None:
    assert seconds(pl.Series([text])).to_list() == [expected]
    assert seconds(pl.Series(["?", text, "2024-01-05 12:00:00"])).to_list() == [
        None,
        expected,
        NOON,
    ]


def test_day_or_month_first() -> None:
    text = pl.Series(["05/01/2024 12:00", "13/01/2024", "01/13/2024 12:00 PM"])
    day, month = (seconds(text, order=order).to_list() for order in ("day-first", "month-first"))
    thirteenth = datetime(2024, 1, 13, tzinfo=UTC).timestamp()
    assert day == [NOON, thirteenth, None]
    assert month == [datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp(), None, thirteenth + 43_200]
    assert order_of(text) == "unclear"
    assert order_of(text[:2]) == "day-first"
    assert order_of(text[2:]) == "month-first"
    assert order_of(text[:1]) == "unclear"
    assert order_of(pl.Series(["2024-01-05"])) is None


def test_a_format_that_is_said() -> None:
    assert seconds(pl.Series(["12h00 05-01-24", "x"]), "%Hh%M %d-%m-%y").to_list() == [NOON, None]
    assert seconds(pl.Series(["5000", "x"]), "ms").to_list() == [5.0, None]


@settings(deadline=None)
@given(
    st.lists(
        st.datetimes(datetime(1980, 1, 1), datetime(2090, 1, 1)),  # noqa: DTZ001
        min_size=1,
    )
)
def test_iso_dates_come_back(moments: list[datetime]) -> None:
    expected = [moment.replace(tzinfo=UTC).timestamp() for moment in moments]
    read = seconds(pl.Series([moment.isoformat() for moment in moments])).to_list()
    assert read == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4.5", 4.5),
        ("4,5", 4.5),
        ("-4,50", -4.5),
        ("1,000", None),
        ("1e3", 1000.0),
        ("5/5", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_a_number(text: str, expected: float | None) -> None:
    assert pl.select(numbers(pl.lit(text))).item() == expected
