"""How numbers and moments are written down, and what a reader can know of them afterwards."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from random import Random

DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class Style:
    """One way to write a value."""

    name: str
    write: Callable[[float], object]
    step: float = 1
    """Seconds that a moment is rounded down to."""
    unclear: bool = False
    """Whether nobody can know what is meant by the values alone."""


def moments(random: Random) -> Style:
    """A way to write Unix times."""
    zone = timezone(timedelta(hours=random.choice([-5, 1, 2, 9]), minutes=random.choice([0, 30])))

    def form(name: str, fmt: str, step: float = 1, zone: timezone = UTC) -> Style:
        return Style(
            name=name, step=step, write=lambda x: datetime.fromtimestamp(x, zone).strftime(fmt)
        )

    return random.choice(
        [
            form("iso", "%Y-%m-%d %H:%M:%S"),
            form("iso T", "%Y-%m-%dT%H:%M:%SZ"),
            form("iso ms", "%Y-%m-%dT%H:%M:%S.000Z"),
            form("iso zone", "%Y-%m-%dT%H:%M:%S%z", zone=zone),
            Style(
                name="iso colon zone", write=lambda x: datetime.fromtimestamp(x, zone).isoformat()
            ),
            form("postgres", "%Y-%m-%d %H:%M:%S+00"),
            form("shopify", "%Y-%m-%d %H:%M:%S %z", zone=zone),
            form("UTC", "%Y-%m-%d %H:%M:%S UTC"),
            form("day", "%Y-%m-%d", DAY),
            form("points", "%d.%m.%Y %H:%M", 60),
            form("points day", "%d.%m.%Y", DAY),
            form("slashes of Europe", "%d/%m/%Y %H:%M", 60),
            form("slashes of America", "%m/%d/%Y %H:%M", 60),
            form("12 hours", "%m/%d/%Y %I:%M:%S %p"),
            form("words", "%b %d, %Y %I:%M %p", 60),
            form("words 2", "%d %b %Y", DAY),
            form("mail", "%a, %d %b %Y %H:%M:%S +0000"),
            form("compact", "%Y%m%d%H%M%S"),
            form("compact day", "%Y%m%d", DAY),
            form("short year", "%d.%m.%y", DAY),
            form("log", "%d/%b/%Y:%H:%M:%S +0000"),
            form("CET", "%Y-%m-%d %H:%M:%S CET", zone=timezone(timedelta(hours=1))),
            form("year first slashes", "%Y/%m/%d %H:%M", 60),
            Style(name="s", write=int),
            Style(name="s float", write=lambda x: f"{x:.1f}"),
            Style(name="ms", write=lambda x: int(x) * 1000),
            Style(name="us", write=lambda x: int(x) * 1_000_000),
            Style(
                name="spreadsheet", write=lambda x: int(x / DAY) + 25_569, step=DAY, unclear=True
            ),
        ]
    )


def native_moments(random: Random) -> Style:
    """A type of Parquet for moments."""
    zone = random.choice([UTC, timezone(timedelta(hours=2))])
    return random.choice(
        [
            Style(
                name="datetime", write=lambda x: datetime.fromtimestamp(x, UTC).replace(tzinfo=None)
            ),
            Style(name="datetime with zone", write=lambda x: datetime.fromtimestamp(x, zone)),
            Style(name="date", write=lambda x: datetime.fromtimestamp(x, UTC).date(), step=DAY),
        ]
    )


def ratings(random: Random, top: int, whole: bool) -> Style:
    """A way to write ratings out of `top`."""

    def short(x: float) -> object:
        return int(x) if x == int(x) else x

    ways = [
        Style(name="number", write=short),
        Style(name="number", write=short),
        Style(name="point", write=lambda x: f"{x:.1f}"),
        Style(name="comma", write=lambda x: f"{x:.1f}".replace(".", ",")),
        Style(name="of", write=lambda x: f"{short(x)}/{top}"),
        Style(
            name="words", write=lambda x: f"{x:.1f} out of {top}" + (" stars" if top == 5 else "")
        ),
    ]
    if top == 100:
        ways += [Style(name="percent", write=lambda x: f"{short(x)}%")] * 3
    if top == 5 and whole:
        ways.append(Style(name="stars", write=lambda x: "★" * int(x) + "☆" * (5 - int(x))))
    return random.choice(ways)


def counts(random: Random) -> Style:
    """A way to write counts."""
    return random.choice(
        [
            Style(name="whole", write=int),
            Style(name="whole", write=int),
            Style(name="decimals", write=lambda x: f"{x:.1f}"),
            Style(name="comma", write=lambda x: f"{x:.2f}".replace(".", ",")),
            Style(name="thousands", write=lambda x: f"{x:,.0f}"),
            Style(name="thousands", write=lambda x: f"{x:,.0f}".replace(",", ".")),
        ]
    )
