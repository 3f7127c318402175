"""Values as people and programs write them: absent values, numbers, and times.

A time becomes seconds since 1970 (UTC); one without a zone is taken as UTC. `03/04/2024` is only
read if it is known whether the day or the month comes first.
"""

from collections.abc import Iterator
from typing import Literal

import polars as pl

MISSING = ("", "na", "n/a", "nan", "none", "null", "nil", "\\n", "-", "?")
"""How absent values are written, in lower case: pandas, SQL dumps, spreadsheets, people."""
DECIMAL_COMMA = r"^[+-]?\d+,\d+$"
_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+$"

DateOrder = Literal["day-first", "month-first"]
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
"""Of times that are numbers: how many make a second."""
_LARGEST = {"s": 1e11, "ms": 1e14, "us": 1e17}
"""Smaller numbers are taken to be in this unit: in seconds until the year 5138, and in milliseconds
from 1973 on."""
_PLAIN_DATE = r"^(19|20)\d{6}$"
_CLOCKS = ("", " %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
_DATES = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %d %Y",
    "%d %b %Y",
    "%d %B %Y",
    "%d-%b-%Y",
    "%Y%m%d",
)
_SLASHED: dict[DateOrder, tuple[str, ...]] = {
    "day-first": ("%d/%m/%Y", "%d-%m-%Y"),
    "month-first": ("%m/%d/%Y", "%m-%d-%Y"),
}
_ZONED = ("%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M%z", "%d %b %Y %H:%M:%S %z")
_WEEKDAY = r"^(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +"
_T = r"^(\d{4}-\d{2}-\d{2})T"
_ZULU = r"\s*(Z|UTC|GMT)$"
_LOOKED_AT = 100
"""How many strings decide which formats are tried first."""


def missing(text: pl.Expr) -> pl.Expr:
    """Whether a stripped string stands for no value."""
    return text.str.to_lowercase().is_in(MISSING)


def numbers(text: pl.Expr) -> pl.Expr:
    """Finite numbers; null for anything else, and for `1,000`, which may mean 1 or 1000."""
    pointed = (
        pl.when(text.str.contains(_THOUSANDS))
        .then(pl.lit(None, dtype=pl.String))
        .when(text.str.contains(DECIMAL_COMMA))
        .then(text.str.replace(",", ".", literal=True))
        .otherwise(text)
    )
    number = pointed.cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def seconds(text: pl.Series, fmt: str | None = None, order: DateOrder | None = None) -> pl.Series:
    """Seconds since 1970 [N] of stripped strings [N]; null for what is no time.

    Args:
        text: numbers, or dates with or without a time of the day; they may be mixed.
        fmt: a unit (`s`, `ms`, `us`, `ns`) or a format of strptime, if all are written alike.
        order: of day and month in dates such as 03/04/2024.
    """
    if fmt in UNITS:
        return text.cast(pl.Float64, strict=False) / UNITS[fmt]
    if fmt is not None:
        return _parsed(text, fmt)
    found = _unix_times(text)
    place = found.is_null().arg_true()
    rest = _simplified(text.gather(place))
    # What reads most of the first strings comes first: one format is mostly enough.
    head = rest.head(_LOOKED_AT)
    for each in sorted(_formats(order), key=lambda each: _parsed(head, each).null_count()):
        if rest.is_empty():
            break
        times = _parsed(rest, each)
        found = found.scatter(place, times)
        place, rest = place.filter(times.is_null()), rest.filter(times.is_null())
    return found


def is_format(fmt: str) -> bool:
    """Whether `seconds` can read by it."""
    try:
        seconds(pl.Series([""]), fmt)
    except pl.exceptions.PolarsError:
        return False
    return True


def order_of(text: pl.Series) -> DateOrder | Literal["unclear"] | None:
    """The order that dates with slashes or dashes show; None if there are no such dates."""
    parts = text.str.extract_groups(r"^(\d{1,2})[/-](\d{1,2})[/-]\d{4}").struct.unnest()
    first, second = (parts.to_series(place).cast(pl.Int64).drop_nulls() for place in (0, 1))
    if len(first) == 0:
        return None
    day_first, month_first = (first > 12).any(), (second > 12).any()
    if day_first == month_first:
        return "unclear"
    return "day-first" if day_first else "month-first"


def _unix_times(text: pl.Series) -> pl.Series:
    number = text.set(text.str.contains(_PLAIN_DATE), None).cast(pl.Float64, strict=False)
    size = pl.col("n").abs()
    unit = pl.lit(UNITS["ns"])
    for name, largest in reversed(_LARGEST.items()):
        unit = pl.when(size < largest).then(UNITS[name]).otherwise(unit)
    finite = pl.when(pl.col("n").is_finite()).then(pl.col("n") / unit)
    return pl.select(n=number).select(finite).to_series()


def _simplified(text: pl.Series) -> pl.Series:
    """Without weekdays, a T between date and time, and zones that mean UTC."""
    return (
        text.str.replace(_WEEKDAY, "")
        .str.replace(_T, "${1} ")
        .str.replace(_ZULU, "")
        .str.strip_chars()
    )


def _formats(order: DateOrder | None) -> Iterator[str]:
    dates = (*_DATES, *(_SLASHED[order] if order else ()))
    yield from (date + clock for clock in _CLOCKS for date in dates)
    yield from _ZONED


def _parsed(text: pl.Series, fmt: str) -> pl.Series:
    zone = "UTC" if "%z" in fmt else None
    times = text.str.to_datetime(fmt, time_unit="us", time_zone=zone, strict=False)
    return times.dt.timestamp("us") / 1e6
