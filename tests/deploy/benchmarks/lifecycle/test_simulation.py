"""Who is asked for, and what counts as found."""

from pathlib import Path

import numpy as np
import pytest

from deploy.benchmarks.lifecycle.report import (
    FROZEN,
    JOINED,
    KNOWN,
    LIVE,
    MORNING,
    NEW,
    NIGHTLY,
    Day,
)
from deploy.benchmarks.lifecycle.simulation import Visitors
from deploy.benchmarks.replay import Replay

ROWS = [
    ("old", "a", True),
    ("old", "b", True),  # the first day begins
    ("since", "a", True),
    ("since", "z", False),  # the day that is measured begins
    ("old", "a", True),
    ("old", "c", True),
    ("old", "d", True),
    ("since", "c", True),
    ("new", "a", True),
    ("silent", "a", False),
]


def test_lists_are_compared_with_what_is_liked_and_new_to_the_user() -> None:
    replay = Replay(
        source=Path("shop.inter"),
        user_N=[user for user, _, _ in ROWS],
        item_N=[item for _, item, _ in ROWS],
        rating_N=None,
        time_N=np.arange(10.0),
        seconds_N=np.arange(10.0),
        liked_N=np.array([liked for _, _, liked in ROWS]),
    )
    asked = []

    def told(user_id: str, liked: list[str]) -> list[str]:
        asked.append((user_id, liked))
        return ["x", "c", "d"]

    done: list[tuple[str, str]] = []

    def top(user_id: str, length: int) -> list[str]:
        """Something else is best as soon as `c` is liked."""
        return (["d", "x"] if (user_id, "c") in done else ["c", "a", "x", "d"])[:length]

    services = {NIGHTLY: told, FROZEN: lambda *_: ["x", "a"]}
    visitors = Visitors(
        replay, 2, top, tell=lambda event: done.append((event.user_id, event.item_id))
    )
    visits = {
        visit.user_id: visit for visit in visitors.of(Day(name="", start=4, stop=10), services)
    }
    assert asked == [("old", []), ("since", ["a"]), ("new", [])]
    assert {user: visit.group for user, visit in visits.items()} == {
        "old": KNOWN,
        "since": JOINED,
        "new": NEW,
    }
    assert visits["old"].value[NIGHTLY]["recall@20"] == 1
    dcg, ideal = 1 / np.log2(3) + 1 / np.log2(4), 1 + 1 / np.log2(3)
    assert visits["old"].value[NIGHTLY]["ndcg@20"] == pytest.approx(dcg / ideal)
    assert visits["old"].value[FROZEN]["recall@20"] == 0
    assert visits["since"].value[NIGHTLY]["recall@20"] == 1
    assert visits["new"].value[FROZEN]["recall@20"] == 1
    assert done == [("old", "a"), ("old", "c"), ("old", "d"), ("since", "c"), ("new", "a")]
    # Before `c`; and before `d`, when `x` and `d` are left of the morning's list.
    found = visits["old"].next_like
    assert found[MORNING]["ndcg@20"] == pytest.approx((1 / np.log2(2) + 1 / np.log2(3)) / 2)
    assert found[LIVE]["ndcg@20"] == pytest.approx(1)
