"""Moments in time as people and programs write them, as seconds since 1970 (UTC).

Knows units, formats and calendars; knows nothing about what happened then. A moment without a zone
is taken as UTC. `03/04/2024` is only read when it is known whether the day or the month is first.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import polars as pl

Order = Literal["day-first", "month-first"]
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
"""Of numbers, per second."""
_LARGEST = {"s": 1e11, "ms": 1e14, "us": 1e17}
"""Numbers below are taken to be in this unit: in seconds until the year 5138, and in milliseconds
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
_SLASHED: dict[Order, tuple[str, ...]] = {
    "day-first": ("%d/%m/%Y", "%d-%m-%Y"),
    "month-first": ("%m/%d/%Y", "%m-%d-%Y"),
}
_ZONED = ("%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M%z", "%d %b %Y %H:%M:%S %z")
_WEEKDAY = r"^(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +"
_ZULU = r"\s*(Z|UTC|GMT)$"
_LOOKED_AT = 100
_T = r"^(\d{4}-\d{2}-\d{2})T"


def seconds(text: pl.Series, fmt: str | None = None, order: Order | None = None) -> pl.Series:
    """Seconds [N] of stripped strings [N]; null for what is none.

    Args:
        text: numbers, or dates with or without a time of the day; they may be mixed.
        fmt: a unit (`s`, `ms`, `us`, `ns`) or a format of strptime, if all are written alike.
        order: of day and month in dates such as 03/04/2024.
    """
    if fmt in UNITS:
        return text.cast(pl.Float64, strict=False) / UNITS[fmt]
    if fmt is not None:
        return _parsed(text, fmt)
    found = _numbers(text)
    place = found.is_null().arg_true()
    rest = _simplified(text.gather(place))
    for candidate in _by_use(_formats(order), rest):
        if rest.is_empty():
            break
        moment = _parsed(rest, candidate)
        found = found.scatter(place, moment)
        place, rest = place.filter(moment.is_null()), rest.filter(moment.is_null())
    return found


def is_format(fmt: str) -> bool:
    """Whether `seconds` can read by it."""
    try:
        seconds(pl.Series([""]), fmt)
    except pl.exceptions.PolarsError:
        return False
    return True


def order_of(text: pl.Series) -> Order | Literal["unclear"] | None:
    """What dates with slashes or dashes show; None if there are none, or none that need it."""
    parts = text.str.extract_groups(r"^(\d{1,2})[/-](\d{1,2})[/-]\d{4}").struct.unnest()
    first, second = (parts.to_series(place).cast(pl.Int64).drop_nulls() for place in (0, 1))
    if len(first) == 0:
        return None
    day_first, month_first = (first > 12).any(), (second > 12).any()
    if day_first == month_first:
        return "unclear"
    return "day-first" if day_first else "month-first"


def _by_use(formats: Iterable[str], text: pl.Series) -> list[str]:
    """Those that read most of the first strings first: one is mostly enough."""
    head = text.head(_LOOKED_AT)
    return sorted(formats, key=lambda fmt: _parsed(head, fmt).null_count())


def _numbers(text: pl.Series) -> pl.Series:
    number = text.set(text.str.contains(_PLAIN_DATE), None).cast(pl.Float64, strict=False)
    size = pl.col("n").abs()
    unit = (
        pl.when(size < _LARGEST["s"])
        .then(UNITS["s"])
        .when(size < _LARGEST["ms"])
        .then(UNITS["ms"])
        .when(size < _LARGEST["us"])
        .then(UNITS["us"])
        .otherwise(UNITS["ns"])
    )
    finite = pl.when(pl.col("n").is_finite()).then(pl.col("n") / unit)
    return pl.select(n=number).select(finite).to_series()


def _simplified(text: pl.Series) -> pl.Series:
    """Without weekdays, a T between date and time, and zones that are UTC anyway."""
    return (
        text.str.replace(_WEEKDAY, "")
        .str.replace(_T, "${1} ")
        .str.replace(_ZULU, "")
        .str.strip_chars()
    )


def _formats(order: Order | None) -> Iterator[str]:
    dates = (*_DATES, *(_SLASHED[order] if order else ()))
    yield from (date + clock for clock in _CLOCKS for date in dates)
    yield from _ZONED


def _parsed(text: pl.Series, fmt: str) -> pl.Series:
    zone = "UTC" if "%z" in fmt else None
    moment = text.str.to_datetime(fmt, time_unit="us", time_zone=zone, strict=False)
    return moment.dt.timestamp("us") / 1e6
