"""What a day is."""

from datetime import UTC, date, datetime

import numpy as np

from deploy.benchmarks.lifecycle.report import Day, dates, equal_parts


def test_dates_begin_at_midnight_utc_and_may_be_empty() -> None:
    moments = ["1998-02-27T23:59:59", "1998-02-28T00:00:00", "1998-03-02T12:00:00"]
    seconds_N = np.array(
        [datetime.fromisoformat(x).replace(tzinfo=UTC).timestamp() for x in moments]
    )
    assert dates(seconds_N, date(1998, 2, 28), 3) == [
        Day(name="1998-02-28", start=1, stop=2),
        Day(name="1998-03-01", start=2, stop=2),
        Day(name="1998-03-02", start=2, stop=3),
    ]


def test_equal_parts_are_of_the_newest_and_leave_none_out() -> None:
    days = equal_parts(np.arange(100) * 86400.0, 0.25, 4)
    assert [(day.start, day.stop) for day in days] == [(75, 81), (81, 88), (88, 94), (94, 100)]
    assert days[0].name == "1970-03-17"
