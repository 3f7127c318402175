"""What a day is: a date, or one of equal parts of the newest interactions.

Knows times; knows nothing about who did what. Letters: N interactions, in the order of their times.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


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
