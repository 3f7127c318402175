"""Times as people and programs write them.

A time becomes seconds since 1970 (UTC); one without a zone is taken as UTC. `03/04/2024` and
`03.04.24` are only read if it is known what comes first. Years before 1970 and after the next one
are no times of interactions: they come from a format that was mistaken for another.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

import polars as pl

DateOrder = Literal["day-first", "month-first", "year-first"]
DATE_ORDERS: tuple[DateOrder, ...] = ("day-first", "month-first", "year-first")
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
"""Units of numeric times, as ticks per second."""
_LARGEST = {"s": 1e11, "ms": 1e14, "us": 1e17}
"""Smaller numbers are taken to be in this unit: in seconds until the year 5138, and in milliseconds
from 1973 on."""
_PLAIN_DATE = r"^(19|20)\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])(([01]\d|2[0-3])[0-5]\d([0-5]\d)?)?$"
"""Digits alone that are taken for a date, with or without a time, rather than for a number."""
SPREADSHEET = "spreadsheet"
"""A format: days since 1899-12-30, as spreadsheets store moments."""
_DAYS_TO_1970 = 25_569
_DAY = 86_400.0
_LAST_DAY = 80_000
"""Spreadsheet days count from 1899-12-30; this one is in 2119."""
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
    "%Y %b %d",
)
_MARKS = ("/", "-", ".")
_FIRST: dict[DateOrder, tuple[tuple[str, str, str], ...]] = {
    "day-first": (("%d", "%m", "%Y"), ("%d", "%m", "%y")),
    "month-first": (("%m", "%d", "%Y"), ("%m", "%d", "%y")),
    "year-first": (("%y", "%m", "%d"),),
}
_COMPACT = ("%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d %H%M%S", "%Y%m%d %H%M")
_ZONED = (
    "%Y-%m-%d %H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M%z",
    "%Y/%m/%d %H:%M:%S%.f%z",
    "%d %b %Y %H:%M:%S%z",
    "%b %d %Y %H:%M:%S%z",
    "%d/%b/%Y:%H:%M:%S %z",
)
_ZONES = {
    "EST": "-05:00", "EDT": "-04:00", "CST": "-06:00", "CDT": "-05:00", "MST": "-07:00",
    "MDT": "-06:00", "PST": "-08:00", "PDT": "-07:00", "CET": "+01:00", "CEST": "+02:00",
    "WET": "+00:00", "WEST": "+01:00", "EET": "+02:00", "EEST": "+03:00",
}  # fmt: skip
"""RFC 2822, section 4.3, and the zones of Europe."""
_REPLACED = (
    (r"^(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +", ""),  # a weekday
    (r"\s*(\[[^\]]*\]|\([^)]*\))$", ""),  # the name of a zone, after the zone itself
    (r"^(\d{4}-?\d{2}-?\d{2})T", "${1} "),
    (r"^([A-Z][a-z]{2} +\d{1,2}) (\d{2}:\d{2}:\d{2})( [+-]\d{4})? (\d{4})$", "${1} ${4} ${2}${3}"),
    (r"\s*(?:UTC|GMT)([+-]\d)", "${1}"),
    (r"\s*(?:Z|UTC|GMT)$", ""),
    (r"(:\d{2}(?:\.\d+)?) ?([+-]\d{2})$", "${1}${2}:00"),  # PostgreSQL's zone of hours
    (r"^(.* .*:\d{2}(?:\.\d+)?) ([+-]\d{2}:?\d{2})$", "${1}${2}"),
)
"""What is made simpler before a format is tried, in this order."""
_VARIES = 2
"""How many times as many days as years there are, if it is to be known which is which."""
_READ = 0.95
"""Share of dates that an order must fit; some are mistyped."""
_LOOKED_AT = 100
"""How many strings decide which formats are tried first."""


def seconds(text: pl.Series, fmt: str | None = None, order: DateOrder | None = None) -> pl.Series:
    """Seconds since 1970 [N] of stripped strings [N]; null for what is no time.

    Args:
        text: numbers, or dates with or without a time of the day; they may be mixed.
        fmt: a unit (`s`, `ms`, `us`, `ns`, `spreadsheet`) or a format of strptime, if all are
            written alike.
        order: of day, month and year in dates such as 03/04/2024 and 03.04.24.
    """
    number = text.cast(pl.Float64, strict=False)
    if fmt == SPREADSHEET:
        return _possible((number - _DAYS_TO_1970) * _DAY)
    if fmt in UNITS:
        return _possible(number / UNITS[fmt])
    if fmt is not None:
        return _parsed(text, fmt)
    found = _possible(_unix_times(text))
    place = found.is_null().arg_true()
    rest = _simplified(text.gather(place))
    # What reads most of the first strings comes first: one format is mostly enough.
    looked_at = rest.head(_LOOKED_AT)
    while len(rest):
        best, num_read = _best_format(looked_at, order)
        if num_read:
            times = _parsed(rest, best)
            found = found.scatter(place, times)
            place, rest = place.filter(times.is_null()), rest.filter(times.is_null())
        elif len(looked_at) == len(rest):
            break
        looked_at = rest
    return found


def _best_format(text: pl.Series, order: DateOrder | None) -> tuple[str, int]:
    """The format that reads most strings, and how many."""
    formats = dict.fromkeys(_formats(order))
    reads = pl.select(t=text).select(
        _moments(pl.col("t"), fmt).is_not_null().sum().alias(fmt) for fmt in formats
    )
    return max(reads.row(0, named=True).items(), key=lambda each: each[1])


def is_format(fmt: str) -> bool:
    """Whether `seconds` can read by it."""
    try:
        seconds(pl.Series([""]), fmt)
    except pl.exceptions.PolarsError:
        return False
    return True


def order_of(text: pl.Series) -> DateOrder | Literal["unclear"] | None:
    """What comes first in dates that do not say it by themselves; None if there are none.

    `13/01/2024` shows it. With years of two digits, the place whose numbers vary much less than
    those of the other end is the year's.
    """
    dates = (
        text.str.extract_groups(
            r"^(?<first>\d{1,2})[/.-](?<second>\d{1,2})(?<mark>[/.-])(?<last>\d{4}|\d{2})\b"
        )
        .struct.unnest()
        .drop_nulls()
    )
    short = dates["last"].str.len_chars() == 2
    open_dates = dates.filter(short | (pl.lit(dates["mark"]) != "."))
    if open_dates.is_empty():
        return None
    possible = [order for order in _FIRST if _reads(open_dates, order)]
    if short.any() and "year-first" in possible:
        first, last = (open_dates[name].n_unique() for name in ("first", "last"))
        if first >= _VARIES * last:
            possible.remove("year-first")
        elif last >= _VARIES * first:
            possible = ["year-first"]
    return possible[0] if len(possible) == 1 else "unclear"


def _reads(dates: pl.DataFrame, order: DateOrder) -> bool:
    """Whether most parts are days and months in this order."""
    names = {
        "day-first": ("first", "second"),
        "month-first": ("second", "first"),
        "year-first": ("last", "second"),
    }[order]
    day, month = (dates[name].cast(pl.Int64) for name in names)
    if order == "year-first" and (dates["last"].str.len_chars() == 4).any():
        return False
    return int(((day <= 31) & (month <= 12)).sum()) >= _READ * len(dates)


def like_days(text: pl.Series) -> bool:
    """Whether most are numbers such as a spreadsheet's days since 1970."""
    number = text.cast(pl.Float64, strict=False)
    days = number.is_between(_DAYS_TO_1970, _LAST_DAY)
    return len(text) > 0 and int(days.sum()) >= _READ * len(text)


def _unix_times(text: pl.Series) -> pl.Series:
    number = text.set(text.str.contains(_PLAIN_DATE), None).cast(pl.Float64, strict=False)
    size = pl.col("n").abs()
    unit = pl.lit(UNITS["ns"])
    for name, largest in reversed(_LARGEST.items()):
        unit = pl.when(size < largest).then(UNITS[name]).otherwise(unit)
    finite = pl.when(pl.col("n").is_finite()).then(pl.col("n") / unit)
    return pl.select(n=number).select(finite).to_series()


def _simplified(text: pl.Series) -> pl.Series:
    """Without weekdays, a T between date and time, and with zones as numbers."""
    for zone, offset in _ZONES.items():
        if text.str.ends_with(f" {zone}").any():
            text = text.str.replace(f" {zone}$", offset)
    for pattern, replacement in _REPLACED:
        text = text.str.replace(pattern, replacement)
    return text.str.strip_chars()


def _formats(order: DateOrder | None) -> Iterator[str]:
    ordered = (mark.join(parts) for parts in (_FIRST[order] if order else ()) for mark in _MARKS)
    dates = (*_DATES, *ordered)
    yield from (date + clock for clock in _CLOCKS for date in dates)
    yield from (*_ZONED, *_COMPACT)


def _parsed(text: pl.Series, fmt: str) -> pl.Series:
    return pl.select(t=text).select(_moments(pl.col("t"), fmt)).to_series()


def _moments(text: pl.Expr, fmt: str) -> pl.Expr:
    zone = "UTC" if "%z" in fmt else None
    times = text.str.to_datetime(fmt, time_unit="us", time_zone=zone, strict=False)
    moments = times.dt.timestamp("us") / 1e6
    return pl.when(moments.is_between(0, _end(), closed="left")).then(moments)


def _possible(seconds: pl.Series) -> pl.Series:
    """Without times before 1970 and after the next year."""
    return seconds.set(~seconds.is_between(0, _end(), closed="left"), None)


def _end() -> float:
    return datetime(datetime.now(UTC).year + 2, 1, 1, tzinfo=UTC).timestamp()
