"""What users have done lately: one sorted set per user, read together with their row.

A member tells what was done with which item; its score is when it arrived, in Unix milliseconds by
Redis's clock, so that it does not matter which replica took it in. What is done again replaces the
earlier time, and a set is as long as its user's items are many. A time is never replaced by an
earlier one: an event that is sent twice counts when it came first.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from model.registry.keys import KeySpace
from model.registry.records import SHOWN_ONLY, FeedbackEvent
from service.store.foreign import LAST_MS, tell, text_of

LIVE = "the sorted set of a user's events"
"""The key itself names the user."""


def now_ms() -> int:
    """The time, as scores have it."""
    return time.time_ns() // 1_000_000


class LiveEvent(NamedTuple):
    """Something that a user has done lately."""

    item_id: str
    type: str
    """An `EventType`, or one of a later release."""
    at: float
    """When it arrived, in Unix milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSets:
    """How the sets of a namespace are kept."""

    keys: KeySpace
    most: int
    """Members of a set; the oldest make room."""
    lasting_ms: int
    """How long a member counts."""

    def reading(self, user_id: str, now: int) -> tuple[str | int, ...]:
        """The command whose reply tells what a user has done, newest first."""
        since = now - self.lasting_ms
        order = ("BYSCORE", "REV", "LIMIT", 0, self.most)
        return "ZRANGE", self.keys.live(user_id), "+inf", since, *order, "WITHSCORES"

    def writing(
        self, events: Sequence[FeedbackEvent], arrived: Sequence[float]
    ) -> Iterator[tuple[str | int | float, ...]]:
        """The commands that note events and when they arrived; impressions are none."""
        by_user: defaultdict[str, dict[tuple[str, str], float]] = defaultdict(dict)
        for event, at in zip(events, arrived, strict=True):
            if event.type not in SHOWN_ONLY:
                done = by_user[event.user_id]
                what = event.type, event.item_id
                done[what] = max(at, done.get(what, 0.0))
        for user_id, done in by_user.items():
            key, oldest = self.keys.live(user_id), max(done.values()) - self.lasting_ms
            members = (part for (kind, item), at in done.items() for part in (at, f"{kind} {item}"))
            yield "ZADD", key, "GT", *members
            yield "ZREMRANGEBYSCORE", key, "-inf", oldest
            yield "ZREMRANGEBYRANK", key, 0, -self.most - 1
            yield "PEXPIRE", key, self.lasting_ms


def of_reply(reply: Sequence[Any]) -> list[LiveEvent]:
    """The events, newest first."""
    events = []
    for member, at in reply:
        if float(at) <= LAST_MS:
            kind, _, item_id = text_of(member, LIVE).partition(" ")
            events.append(LiveEvent(item_id, kind, float(at)))
        else:
            tell(LIVE)
    return events
