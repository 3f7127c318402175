"""Times and numbers, as people and programs write them."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ingest.times import SPREADSHEET, like_days, order_of, seconds
from training.ingest.values import Style, ids, numbers, thousands_of, wholes

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
        ("20240105120000", NOON),
        ("202401051200", NOON),
        ("20240105T120000Z", NOON),
        ("2024-01-05 13:00:00+01", NOON),
        ("2024-01-05 07:00:00.5-05", NOON + 0.5),
        ("2024-01-05 13:00:00 +0100", NOON),
        ("2024-01-05T13:00:00+01:00[Europe/Berlin]", NOON),
        ("Fri Jan 05 2024 13:00:00 GMT+0100 (Central European Standard Time)", NOON),
        ("Fri Jan  5 12:00:00 2024", NOON),
        ("Fri Jan 05 12:00:00 +0000 2024", NOON),
        ("2024-01-05 13:00:00 CET", NOON),
        ("05/Jan/2024:12:00:00 +0000", NOON),
        ("05/01/2024", None),
        ("05.01.24", None),
        ("1969-12-31", None),
        ("2611-05-23", None),
        ("0024-01-05", None),
        ("-5", None),
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


@given(
    st.lists(
        st.datetimes(datetime(1970, 1, 1), datetime(2026, 1, 1)),  # noqa: DTZ001
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
        ("1 000", 1000.0),
        ("12'500", 12500.0),
        ("4 stars", 4.0),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_a_number(text: str, expected: float | None) -> None:
    assert pl.select(numbers(pl.lit(text))).item() == expected


@pytest.mark.parametrize(
    ("dates", "order"),
    [
        (["07.02.23", "08.02.23", "19.02.23", "21.02.23"], "day-first"),
        (["02/19/23", "02/21/23", "03/02/23"], "month-first"),
        (["23-02-07", "23-02-19", "23-03-21"], "year-first"),
        (["07.02.23"], "unclear"),
        (["19.02.2023"], None),
    ],
)
def test_what_comes_first_in_short_dates(dates: list[str], order: str | None) -> None:
    assert order_of(pl.Series(dates)) == order


def test_short_years_are_read_in_the_order_that_is_known() -> None:
    text = pl.Series(["05.01.24", "05/01/24 12:00", "05-01-24"])
    assert seconds(text, order="day-first").to_list() == [MIDNIGHT, NOON, MIDNIGHT]
    assert seconds(pl.Series(["24-01-05"]), order="year-first").to_list() == [MIDNIGHT]


def test_days_of_a_spreadsheet() -> None:
    days = pl.Series(["45296.5", "45296"])
    assert like_days(days)
    assert not like_days(pl.Series(["1704456000"]))
    assert seconds(days, SPREADSHEET).to_list() == [NOON, MIDNIGHT]


@pytest.mark.parametrize(
    ("texts", "mark"),
    [
        (["3,500", "4,200"], "unclear"),
        (["1,200,000"], ","),
        (["3,500.25"], ","),
        (["3,500", "2.5"], ","),
        (["3,500", "2,5"], "."),
        (["3.500,25"], "."),
        (["3.500", "120"], "unclear"),
        (["3.500", "0.120"], None),
        (["4,5", "3"], None),
    ],
)
def test_the_mark_between_thousands(texts: list[str], mark: str | None) -> None:
    assert thousands_of(pl.Series(texts)) == mark


def test_thousands_and_decimals_by_style() -> None:
    text = pl.Series(["3,500", "-1,200.5", "7", "2.500", "2,5"])
    by_comma = pl.select(numbers(pl.lit(text), Style(thousands=","))).to_series().to_list()
    by_point = pl.select(numbers(pl.lit(text), Style(thousands="."))).to_series().to_list()
    assert by_comma == [3500.0, -1200.5, 7.0, 2.5, None]
    assert by_point == [3.5, None, 7.0, 2500.0, 2.5]


def test_parts_of_a_whole() -> None:
    text = pl.Series(["3.5 out of 5 stars", "2/5", "★★★☆☆", "4", "8/10", "80%", "4,5 von 5"])
    assert wholes(text) == [5.0, 10.0, 100.0]
    read = pl.select(numbers(pl.lit(text), Style(out_of=5.0))).to_series().to_list()
    assert read == [3.5, 2.0, 3.0, 4.0, None, None, 4.5]


def test_an_id_that_was_stored_as_a_number() -> None:
    text = pl.Series([" 12.0 ", "12", "1.50", "a.0", "007"])
    read = pl.select(ids(pl.lit(text), normalise=False)).to_series().to_list()
    assert read == ["12", "12", "1.50", "a.0", "007"]
